// The request as a program: for a shell and for Python. A key is a variable, never its value. Pure.

/** Returns the request as a curl command. */
export function asCurl(url, body, hasKey) {
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const key = hasKey ? ` \\\n  -H "Authorization: Bearer $RERANK_API_KEY"` : "";
  return `curl -s ${url} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'\n`;
}

/** Returns the request as a Python program that needs the standard library only. */
export function asPython(url, body, hasKey) {
  const key = hasKey ? `, "Authorization": f"Bearer {os.environ['RERANK_API_KEY']}"` : "";
  return [
    "import json",
    ...(hasKey ? ["import os"] : []),
    "from urllib.request import Request, urlopen",
    "",
    `body = ${JSON.stringify(body, null, 4)}`,
    `headers = {"Content-Type": "application/json"${key}}`,
    `request = Request(${JSON.stringify(url)}, json.dumps(body).encode(), headers)`,
    "with urlopen(request) as reply:",
    `    for result in json.load(reply)["results"]:`,
    `        print(f"{result['relevance_score']:.4f}", body["documents"][result["index"]])`,
    "",
  ].join("\n");
}
