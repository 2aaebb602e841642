// The list of documents from a text that was typed, opened or dropped. Pure.

const JSON_LINES = /\.(jsonl|ndjson)$/i;
const JSON_WHOLE = /\.json$/i;
const BEGINS_LIKE_JSON = /^\s*(\[\s*["{]|\{\s*")/;
const BLANK_LINES = /\n(?:[^\S\n]*\n)+/;

export const LINES = "one per line";

/**
 * Returns the documents of a text, and the form in which they were found: a JSON value, JSON lines,
 * paragraphs with blank lines between them, or one document per line. A text that begins like JSON
 * and is not is read one per line, with a note of its fault.
 * @throws {Error} the text is JSON and has an item that is no document; the message has its place
 */
export function recognised(text) {
  return wholeJson(text) ?? jsonLines(text) ?? paragraphs(text) ?? lines(text);
}

/** Returns whether the ending of a file's name decides how it is read. */
export const hasOwnForm = (name) => JSON_WHOLE.test(name) || JSON_LINES.test(name);

/** Returns the documents of a text, one per line, without blank lines. */
export function lines(text) {
  return { form: LINES, documents: linesOf(text), note: faultOfJson(text) };
}

/**
 * Returns the documents of a file and their form. The ending of its name decides, as for `gateway
 * rerank`: JSON lines have one value per line, a JSON file is one value or an array of them. Any
 * other file is a text.
 * @throws {Error} the message names the file and the line or item
 */
export function fromFile(name, text, read) {
  if (JSON_WHOLE.test(name)) return { form: "JSON", documents: text.trim() ? itemsOf(parsedFile(name, text), `${name}, `) : [] };
  if (JSON_LINES.test(name)) return { form: "JSON lines", documents: documentsOfLines(text, `${name}, `) };
  try {
    return read(text);
  } catch (error) {
    throw new Error(`${name}, ${error.message}`);
  }
}

/**
 * Returns the text of a file.
 * @throws {Error} it is not UTF-8
 */
export function decoded(name, bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${name} is not text in UTF-8: save it as UTF-8 and open it again`);
  }
}

function linesOf(text) {
  return text.split(/\r\n|\n|\r/).filter((line) => line.trim());
}

/** Returns null for blocks of one line each, whose lines are the same documents. */
function paragraphs(text) {
  const blocks = text.replaceAll(/\r\n?/g, "\n").split(BLANK_LINES);
  const documents = blocks.map((block) => block.replaceAll(/^\n+|\n+$/g, "")).filter((block) => block.trim());
  if (documents.length < 2 || !documents.some((block) => block.includes("\n"))) return null;
  return { form: "paragraphs between blank lines", documents };
}

// -- JSON ------------------------------------------------------------------------------------------

function wholeJson(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  const value = valueOf(text);
  return value === undefined ? null : { form: "JSON", documents: itemsOf(value, "") };
}

/** One line in quotation marks is a sentence; several lines of JSON strings are JSON lines. */
function jsonLines(text) {
  const found = linesOf(text);
  if (found.length < 2 || !found.every((line) => /^\s*["{]/.test(line))) return null;
  if (found.some((line) => valueOf(line) === undefined)) return null;
  return { form: "JSON lines", documents: documentsOfLines(text, "") };
}

function faultOfJson(text) {
  if (!BEGINS_LIKE_JSON.test(text) || valueOf(text) !== undefined) return "";
  const all = text.split(/\r\n|\n|\r/);
  const first = all.findIndex((line) => line.trim());
  const isLines = valueOf(all[first]) !== undefined;
  const wrong = all.findIndex((line) => line.trim() && valueOf(line) === undefined);
  if (isLines && wrong < 0) return ""; // lines of JSON, read as plain lines by choice
  return isLines ? `line ${wrong + 1} is not JSON` : "it begins like JSON and is not valid JSON";
}

function itemsOf(value, where) {
  const items = Array.isArray(value) ? value : [value];
  return items.flatMap((item, number) => documentsIn(item, `${where}item ${number + 1}`));
}

function documentsOfLines(text, where) {
  return text.split(/\r\n|\n/).flatMap((line, number) => {
    if (!line.trim()) return [];
    const place = `${where}line ${number + 1}`;
    const value = valueOf(line);
    if (value === undefined) throw new Error(`${place} is not JSON: a JSONL file has one string or object per line`);
    return documentsIn(value, place);
  });
}

function parsedFile(name, text) {
  const value = valueOf(text);
  if (value === undefined) throw new Error(`${name} is not JSON: a JSON file is one array or object`);
  return value;
}

/** Returns the value of a text of JSON, or undefined for another text. */
function valueOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the document that a JSON value is, or those in its list of documents. */
function documentsIn(value, where) {
  if (!Array.isArray(value?.documents)) return [documentOf(value, where)];
  if ("query" in value) {
    throw new Error(`${where} has a "query" of its own: give the documents alone`);
  }
  return value.documents.map((document) => documentOf(document, where));
}

function documentOf(value, where) {
  const text = typeof value === "string" ? value : value?.text;
  if (typeof text !== "string") {
    throw new Error(`${where}: a document is a string, or an object with a "text" string`);
  }
  const title = value.title;
  return typeof title === "string" && title ? `${title}\n${text}` : text;
}
