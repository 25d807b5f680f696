/** What a warning means and what to do about it, in a sentence or two. */

import type { Warning } from "./render.ts";

type Words = Record<string, string>;

const DENIED: Words = {
  address: "The network policy does not allow this address. An operator can allow it with POSTER_ALLOW_PRIVATE.",
  host: "The network policy does not allow this host. An operator can allow it with POSTER_ALLOW_HOSTS.",
  port: "Only the usual ports of the web may be asked. Serve it at port 80 or 443.",
  scheme: "Only http, https, data and blob addresses can be loaded. Use one of them.",
  form: "A form was sent, which a render may not do.",
  requests: "The page asked for more resources than a render may. Load fewer.",
  bytes: "The page loaded more bytes than a render may. Use smaller pictures.",
  redirects: "Too many redirects. Use the address at their end.",
  web_socket: "Web sockets are not available to a page. Put the data into the page.",
  csp: "The page's own Content-Security-Policy forbids it. Allow it there.",
  navigation: "The page went to another address. Render that address instead, or stop the script that goes there.",
  local_file: "Files of the service's machine cannot be read. Send the file with the page, or use a data: address.",
  mixed_content: "An https page may not load this over http. Use https.",
  blocked: "Chrome blocked it.",
};

const FAILED: Words = {
  not_found: "No file of this name came with the page. Send it in a form, or use an https or data: address.",
  timeout: "It did not arrive in time. Is the server slow? timeout_ms gives a render more time.",
  too_large: "It is larger than the service fetches. Use a smaller file.",
  unknown_host: "No such host. Is the address spelled correctly?",
  unreachable: "Nothing answers there. Does the server run?",
  certificate: "Its certificate is not valid. Renew it.",
  protocol: "The answer is not HTTP as it should be.",
  broken_image: "The file is not a picture that Chrome can decode, or it is cut short.",
  broken_font: "The file is not a font that Chrome can use.",
  cors: "Its server does not allow use by other origins. It needs Access-Control-Allow-Origin.",
  integrity: "Its bytes do not have the hash in `integrity`. Update the hash.",
  mime_type: "Its media type is not that of what it is used for. Correct Content-Type.",
  frame_refused: "It does not allow being framed.",
  unusable: "It arrived, and the page could not use it.",
};

const OTHER: Words = {
  missing_glyph: "No font has these characters, so boxes were painted. Install a font, or add one with @font-face.",
  margin: "The header or footer is taller than its margin. Enlarge pdf.margin.",
  script_error: "A script of the page failed. The place is line and column.",
  webgl: "The page asked for WebGL, which is off. An operator can turn it on with POSTER_WEBGL.",
  font_display: "An optional font came too late. Use `font-display: block`.",
  endless_scroll: "The page was still growing when scrolling ended.",
  timeout: "Time was up before the page was done; the picture has what was there. timeout_ms gives more time.",
  more: "Further warnings were left out.",
};

/** The title of a warning: what it is about. */
export function titleOf(one: Warning): string {
  const what = one["url"] ?? one["codepoints"] ?? one["at"] ?? one["count"] ?? "";
  const why = one["reason"] ?? one["kind"] ?? "";
  return [one.warning, what, why && `(${why})`].filter(Boolean).join(" ");
}

/** What to do about it. */
export function remedyOf(one: Warning): string {
  const reason = one["reason"] ?? "";
  if (one["similar"]) return `There is ${one["similar"]}, which differs in upper and lower case only.`;
  if (one.warning === "denied") return DENIED[reason] ?? "The service's rules do not allow it.";
  if (one.warning === "failed") {
    return FAILED[reason] ?? (reason.startsWith("http_") ? `Its server answered with status ${reason.slice(5)}.` : "It could not be loaded.");
  }
  return OTHER[one.warning] ?? "";
}
