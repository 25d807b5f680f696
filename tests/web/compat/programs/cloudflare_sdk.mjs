// What a user of Cloudflare's SDK for TypeScript has: only the address is another.
// Usage: cloudflare_sdk.mjs ADDRESS TOKEN FOLDER URL. Writes what came into the folder.
import {createRequire} from "node:module";
import {writeFileSync} from "node:fs";

const {default: Cloudflare} = createRequire(`${process.cwd()}/`)("cloudflare");
const [address, token, folder, url] = process.argv.slice(2);
const account_id = "0123456789abcdef0123456789abcdef";
const client = new Cloudflare({apiToken: token, baseURL: `${address}/client/v4`, maxRetries: 0});
const run = client.browserRendering;

const picture = await run.screenshot.create({
    account_id, url, cacheTTL: 60, viewport: {width: 300, height: 200},
    screenshotOptions: {type: "jpeg", quality: 50},
}).asResponse();
writeFileSync(`${folder}/picture.jpg`, Buffer.from(await picture.arrayBuffer()));

const pdf = await run.pdf.create({account_id, html: "<h1>PDF</h1>", pdfOptions: {format: "a4"}});
writeFileSync(`${folder}/page.pdf`, Buffer.from(await pdf.arrayBuffer()));

const snapshot = await run.snapshot.create({account_id, html: "<p>snap"});
const found = {
    content: await run.content.create({account_id, url}),
    snapshot: snapshot.content,
    screenshot: snapshot.screenshot,
    scraped: await run.scrape.create({account_id, url, elements: [{selector: "h1"}]}),
    links: await run.links.create({account_id, url}),
    markdown: await run.markdown.create({account_id, url}),
};
try {
    await run.json.create({account_id, url, prompt: "x"});
} catch (error) {
    found.json = error.status;
}
try {
    const other = new Cloudflare({apiToken: "wrong", baseURL: `${address}/client/v4`, maxRetries: 0});
    await other.browserRendering.content.create({account_id, html: "x"});
} catch (error) {
    if (!(error instanceof Cloudflare.AuthenticationError)) throw error;
    found.errors = error.errors;
}
writeFileSync(`${folder}/found.json`, JSON.stringify(found));
