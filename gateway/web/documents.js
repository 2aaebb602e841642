// From what is typed, opened or dropped to a list of documents. Pure.

const JSON_LINES = /\.(jsonl|ndjson)$/i;

/** Returns the documents of a text: one per line, blank lines left out. */
export function linesOf(text) {
  return text.split(/\r\n|\n|\r/).filter((line) => line.trim());
}

/**
 * Returns the documents of a file, as `gateway rerank` reads it: JSON lines hold strings, or objects
 * with a `text` and maybe a `title`; any other file has one document per line.
 * @throws {Error} the message names the file and the line
 */
export function documentsOf(name, bytes) {
  const text = decoded(name, bytes);
  const documents = JSON_LINES.test(name) ? jsonLines(name, text) : linesOf(text);
  if (!documents.length) throw new Error(`${name} has no documents in it`);
  return documents;
}

function decoded(name, bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${name} is not text in UTF-8: save it as UTF-8 and open it again`);
  }
}

function jsonLines(name, text) {
  const documents = [];
  text.split(/\r\n|\n/).forEach((line, number) => {
    if (line.trim()) documents.push(oneDocument(line, `${name}, line ${number + 1}`));
  });
  return documents;
}

function oneDocument(line, where) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error(`${where} is not JSON: a JSONL file has one string or object per line`);
  }
  const text = typeof value === "string" ? value : value?.text;
  if (typeof text !== "string") {
    throw new Error(`${where}: a document is a string, or an object with a "text" string`);
  }
  const title = value.title;
  return typeof title === "string" && title ? `${title}\n${text}` : text;
}
