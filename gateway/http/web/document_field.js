// The field of the documents: typed, pasted, or read from files that were opened or dropped.

import { LINES, decoded, fromFile, hasOwnForm, lines, recognised } from "./documents.js";
import { find, setText, showFault } from "./dom.js";

const HINT = "One per line, paragraphs, JSON or JSON lines.";
let files = []; // names and texts of the opened files, which replace what is typed
let isByLine = false; // chosen by hand, against the form that was recognised
let reading = { form: LINES, documents: [] };

/** Connects the field. */
export function startDocuments() {
  find("documents").addEventListener("input", () => {
    if (!find("documents").value.trim()) isByLine = false;
    update();
  });
  find("reading").addEventListener("click", () => {
    isByLine = !isByLine;
    update();
  });
  find("file").addEventListener("change", () => open(find("file").files));
  find("opened-close").addEventListener("click", () => {
    useFiles([]);
    find("documents").focus();
  });
  for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, drag);
  update();
}

/** Returns the documents, as they were last read. */
export const documents = () => reading.documents;

/** Returns the fault for which there are no documents to send, or an empty string. */
export function faultOfDocuments() {
  if (reading.fault) return reading.fault;
  return reading.documents.length ? "" : "Add at least one document: type it here, or open a file.";
}

/** Replaces what was typed or opened by a text. */
export function fillDocuments(text) {
  find("documents").value = text;
  useFiles([]);
}

// -- reading ---------------------------------------------------------------------------------------

function update() {
  const found = read(recognised);
  const hasChoice = found.form !== LINES && (!files.length || files.some(({ name }) => !hasOwnForm(name)));
  reading = isByLine && hasChoice ? read(lines) : found;
  setText(find("documents-hint"), described(reading));
  showFault(find("documents"), reading.fault ?? "");
  find("reading").hidden = !hasChoice;
  setText(find("reading"), isByLine ? `Read as ${found.form}` : "Read one per line");
}

function read(how) {
  try {
    const found = files.length ? files.map(({ name, text }) => fromFile(name, text, how)) : [how(find("documents").value)];
    const forms = new Set(found.map(({ form }) => form));
    return {
      form: forms.size === 1 ? found[0].form : "each file in its own form",
      documents: found.flatMap((part) => part.documents),
      note: found.flatMap(({ note }) => note || []).join("; "),
    };
  } catch (error) {
    return { form: "JSON", documents: [], fault: error.message };
  }
}

function described({ documents: { length: count }, form, note }) {
  if (!count) return HINT;
  const counted = `${count.toLocaleString("en")} ${count === 1 ? "document" : "documents"}, ${form}`;
  return note ? `${counted}: ${note}.` : `${counted}.`;
}

// -- files -----------------------------------------------------------------------------------------

function drag(event) {
  const hasFiles = event.dataTransfer?.types.includes("Files");
  if (!hasFiles || find("view-playground").hidden) return;
  event.preventDefault(); // or the browser leaves the page for the file
  find("drop").classList.toggle("over", event.type === "dragover");
  if (event.type === "drop") open(event.dataTransfer.files);
}

async function open(list) {
  try {
    const opened = await Promise.all([...list].map(withText));
    for (const { name, text } of opened) {
      if (!fromFile(name, text, recognised).documents.length) throw new Error(`${name} has no documents in it`);
    }
    useFiles(opened);
  } catch (error) {
    showFault(find("documents"), error.message);
  }
  find("file").value = ""; // or the same file could not be opened again
}

async function withText(file) {
  const { name } = file;
  const bytes = await file.arrayBuffer().catch(() => {
    throw new Error(`${name} cannot be read: open files, no folders`);
  });
  return { name, text: decoded(name, bytes) };
}

function useFiles(opened) {
  files = opened;
  isByLine = false;
  find("opened").hidden = !files.length;
  find("documents").hidden = Boolean(files.length);
  setText(find("opened-name"), files.map(({ name }) => name).join(", "));
  setText(find("opened-close"), files.length > 1 ? "Close the files" : "Close the file");
  update();
}
