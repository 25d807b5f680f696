/** What a warning or an error means and what to do about it, in a sentence or two. */

import type { Warning } from "./render.ts";
import type { Kind } from "./state.ts";

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

/** What is otherwise where a template is rendered: its files are those of its folder, its policy is the service's. */
const OF_TEMPLATE: Record<string, Words> = {
  denied: {
    csp: "The policy of templates forbids it. It allows files of the template's folder, and pictures, fonts and media from https and data addresses.",
    scheme: "A template loads files of its folder, and https and data addresses. Use one of them.",
    local_file: "Files outside of the template's folder cannot be read. Put the file into the folder and write its name.",
    navigation: "The template's page went to another address. Remove the script or the element that goes there.",
    mixed_content: "A template loads https addresses only. Use https, or put the file into the template's folder.",
  },
  failed: {
    not_found: "The template's folder has no file of this name. Put it there; addresses are relative to the folder. If the data names it, send the file with the data in a form.",
    broken_image: "The file is not a picture that Chrome can decode, or it is cut short. Replace it in the template's folder, or where the data names it.",
    broken_font: "The file is not a font that Chrome can use. Replace it in the template's folder.",
  },
  other: {
    missing_glyph: "No font has these characters, so boxes were painted. Put a font into the template's folder and name it with @font-face, or install one.",
    script_error: "A script of the template failed. The place is line and column.",
    font_display: "An optional font came too late. Use `font-display: block` in the template's style sheet.",
  },
};

/** And where the page comes from an address: the caller may not be its author. */
const OF_URL: Record<string, Words> = {
  denied: {
    csp: "The page's own Content-Security-Policy forbids it, in every browser.",
    mixed_content: "An https page may not load this over http, in every browser.",
    navigation: "The page went to another address. Render that address instead.",
  },
  failed: {
    cors: "Its server does not allow use by the page's origin.",
  },
  other: { missing_glyph: "No font has these characters, so boxes were painted. An operator can install a font, or add a folder with POSTER_FONTS." },
};

const OF_KIND: Partial<Record<Kind, Record<string, Words>>> = { template: OF_TEMPLATE, url: OF_URL };

/** The title of a warning: what it is about. */
export function titleOf(one: Warning): string {
  const what = one["url"] ?? one["codepoints"] ?? one["at"] ?? one["count"] ?? "";
  const why = one["reason"] ?? one["kind"] ?? "";
  return [one.warning, what, why && `(${why})`].filter(Boolean).join(" ");
}

/** What to do about it, for a page of that kind. */
export function remedyOf(one: Warning, kind: Kind): string {
  const reason = one["reason"] ?? "";
  if (one["similar"]) return `There is ${one["similar"]}, which differs in upper and lower case only.`;
  const special = OF_KIND[kind] ?? {};
  if (one.warning === "denied") return special["denied"]?.[reason] ?? DENIED[reason] ?? "The service's rules do not allow it.";
  if (one.warning === "failed") {
    return special["failed"]?.[reason] ?? FAILED[reason]
      ?? (reason.startsWith("http_") ? `Its server answered with status ${reason.slice(5)}.` : "It could not be loaded.");
  }
  return special["other"]?.[one.warning] ?? OTHER[one.warning] ?? "";
}

/** By the code of an error: what its sentence does not say. */
const OF_PROBLEM: Words = {
  unauthorized: "This service asks for a token. Render again to enter one.",
  rate_limited: "You have used your share for the moment. It continues by itself in a little while.",
  concurrency_limited: "Too many renders of yours run at once.",
  overloaded: "The service is busy. It continues by itself in a little while.",
  stopping: "The service stops. Render again when it is back.",
  render_timeout: "Does the page wait for something? A larger timeout_ms gives it more time, on_timeout: capture shows what is there.",
  fetch_denied: "The network policy of the service does not allow this address.",
  url_unreachable: "Is the address right, and does its server run?",
  url_status: "Is the address right? allow_error_status shows the page all the same.",
  selector_not_found: "Is the selector spelled as in the page? wait_for waits for what a script adds.",
  selector_empty: "The element has no width or no height. Is it hidden, or empty?",
  picture_too_large: "A smaller width, height or device_scale_factor makes it fit.",
};

const OF_TEMPLATE_PROBLEM: Words = {
  invalid_data: "Each place is marked at its field. The template's schema says what is allowed.",
  page_failed: "Correct the template at that place; the next render has it. `poster-service template check` lists all that is wrong.",
  selector_not_found: "Is the selector spelled as in the template's page?",
  unknown_template: "Choose one of the list.",
};

/** What to do about an error, of a page of that kind; empty where its sentence says all. */
export function remedyOfProblem(code: string, kind: Kind): string {
  return (kind === "template" ? OF_TEMPLATE_PROBLEM[code] : undefined) ?? OF_PROBLEM[code] ?? "";
}
