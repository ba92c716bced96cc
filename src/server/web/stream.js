// Server-sent events over fetch: EventSource can neither POST nor send a key.

// Text in, in pieces of any size; whole events out. Comments (": ping") vanish.
export class EventParser {
  #rest = "";
  #data = [];

  push(text) {
    const found = [];
    this.#rest += text;
    let start = 0;
    for (let end; (end = this.#rest.indexOf("\n", start)) >= 0; start = end + 1) {
      const line = this.#rest.slice(start, end).replace(/\r$/, "");
      if (line === "") {
        if (this.#data.length > 0) found.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    this.#rest = this.#rest.slice(start);
    return found;
  }
}

// An error with words for people. `status` is the HTTP status, 0 when there was no answer at all.
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

export function headers(key) {
  const made = { "content-type": "application/json" };
  if (key) made.authorization = `Bearer ${key}`;
  return made;
}

async function refusal(response) {
  let message = "";
  try {
    message = (await response.json()).error.message;
  } catch {
    message = response.statusText || "no reason given";
  }
  return new ServerError(message, response.status);
}

export async function get(path, key, signal) {
  let response;
  try {
    response = await fetch(path, { headers: headers(key), signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer.");
  }
  if (!response.ok) throw await refusal(response);
  return response.json();
}

// The chunks of a streamed answer, parsed. Throws ServerError, also for an error within the stream
// and for a stream that breaks off.
export async function* chunks(path, body, key, signal) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: headers(key), body: JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer.");
  }
  if (!response.ok) throw await refusal(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  while (true) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError("The connection broke off in the middle of the answer.");
    }
    if (piece.done) throw new ServerError("The connection ended in the middle of the answer.");
    for (const data of parser.push(decoder.decode(piece.value, { stream: true }))) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ServerError(chunk.error.message, response.status);
      yield chunk;
    }
  }
}
