// The list of documents from a text that was typed, opened or dropped. Pure.

const JSON_LINES = /\.(jsonl|ndjson)$/i;
const JSON_WHOLE = /\.json$/i;

/** Returns the documents of a text: one per line, without blank lines. */
export function linesOf(text) {
  return text.split(/\r\n|\n|\r/).filter((line) => line.trim());
}

/**
 * Returns the documents of a file, as `gateway rerank` reads it: a JSON value is a string, an object
 * with a `text` and an optional `title`, or an object with a list of `documents`. JSON lines have
 * one value per line, a JSON file is one value or an array of them, and any other file has one
 * document per line.
 * @throws {Error} the message names the file and the line or item
 */
export function documentsOf(name, bytes) {
  const text = decoded(name, bytes);
  const documents = listOf(name, text);
  if (!documents.length) throw new Error(`${name} has no documents in it`);
  return documents;
}

function listOf(name, text) {
  if (JSON_WHOLE.test(name)) return jsonItems(name, text);
  return JSON_LINES.test(name) ? jsonLines(name, text) : linesOf(text);
}

function decoded(name, bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${name} is not text in UTF-8: save it as UTF-8 and open it again`);
  }
}

function jsonItems(name, text) {
  if (!text.trim()) return [];
  const value = parsed(text, name, "a JSON file is one array or object");
  const items = Array.isArray(value) ? value : [value];
  return items.flatMap((item, number) => documentsIn(item, `${name}, item ${number + 1}`));
}

function jsonLines(name, text) {
  return text.split(/\r\n|\n/).flatMap((line, number) => {
    if (!line.trim()) return [];
    const where = `${name}, line ${number + 1}`;
    const value = parsed(line, where, "a JSONL file has one string or object per line");
    return documentsIn(value, where);
  });
}

function parsed(text, where, form) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${where} is not JSON: ${form}`);
  }
}

/** Returns the document that a JSON value is, or those in its list of documents. */
function documentsIn(value, where) {
  if (!Array.isArray(value?.documents)) return [documentOf(value, where)];
  if ("query" in value) {
    throw new Error(`${where} has a "query" of its own: open a file of documents alone`);
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
