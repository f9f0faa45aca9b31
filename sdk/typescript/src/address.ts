import { InvalidError } from "./errors.js";

/**
 * The base URL of a control plane, without a slash at its end. Plain http is
 * for loopback only: tokens and codes would cross a network in clear.
 */
export function parseServer(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refuse(`url is not a URL: write it like https://class.example or http://127.0.0.1:8080`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw refuse(`url begins with ${url.protocol}//: it must be https:// or, on loopback, http://`);
  }
  if (url.username !== "" || url.password !== "") {
    throw refuse("url holds a user name or password: give the token as `token`");
  }
  if (url.search !== "" || url.hash !== "") {
    throw refuse("url has a query or a fragment: it must be only scheme, host and port");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new InvalidError(
      `plain http to ${url.host} would show tokens to the network: use https://, or reach the server on loopback`,
      { reason: "PLAIN_HTTP" },
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

/** Whether a host of a URL is this machine itself. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** A token that fits into a header, or an error that does not repeat it. */
export function parseToken(token: string): string {
  const trimmed = token.trim();
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new InvalidError(
      "token is empty or holds characters that no token has: take the text that CreateToken gave, or the line of the token file",
      { reason: "BAD_TOKEN" },
    );
  }
  return trimmed;
}

function refuse(message: string): InvalidError {
  return new InvalidError(message, {
    reason: "BAD_URL",
    fields: [{ field: "url", description: message }],
  });
}
