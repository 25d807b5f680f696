// Uses npm's `chromiumly` as its documentation does; prints one JSON object. Run in a folder from
// which Node.js finds it, with the address of the service, a user and a password.

const { createRequire } = require("node:module");
const find = createRequire(`${process.cwd()}/`);
const {
    Chromiumly, HtmlConverter, HtmlScreenshot, MarkdownConverter, MarkdownScreenshot, System,
    UrlConverter, UrlScreenshot,
} = find("chromiumly");

const PAGE = "<body style='margin: 0; background: red'><h1>Client</h1><img src=dot.svg>";
const SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";

async function main([endpoint, username, password, url]) {
    Chromiumly.configure({ endpoint, username, password });
    const html = Buffer.from(PAGE);
    const assets = [{ file: Buffer.from(SVG), name: "dot.svg" }];
    const base64 = (buffer) => buffer.toString("base64");
    const found = {};
    found.health = JSON.parse(await System.getHealth());
    found.pdf = base64(await new HtmlConverter().convert({
        html, assets, header: Buffer.from("<p style='font-size: 9px'>Head</p>"),
        properties: {
            size: { width: "210mm", height: 11.69 }, margins: { top: "2in", left: 1 },
            landscape: true, printBackground: true,
        },
        emulatedMediaFeatures: [{ name: "prefers-color-scheme", value: "dark" }],
        waitForExpression: "document.readyState === 'complete'", waitDelay: "20ms",
        generateDocumentOutline: true, metadata: { Title: "From chromiumly", Keywords: ["a", "b"] },
        failOnHttpStatusCodes: [499, 599], failOnConsoleExceptions: true, outputFilename: "x",
    }));
    found.png = base64(await new HtmlScreenshot().capture({
        html, assets, properties: { format: "png", width: 300, height: 200, clip: true },
        optimizeForSpeed: true,
    }));
    found.markdown = base64(await new MarkdownConverter().convert({
        html: Buffer.from('{{ toHTML "file.md" }}'), markdown: Buffer.from("**Bold**"),
    }));
    found.markdownPng = base64(await new MarkdownScreenshot().capture({
        html: Buffer.from('<body style="background: red">{{ toHTML "file.md" }}'),
        markdown: Buffer.from("**Bold**"),
        properties: { format: "jpeg", quality: 90 },
    }));
    found.urlPng = base64(await new UrlScreenshot().capture({
        url, extraHttpHeaders: { "X-Client": "chromiumly" },
        cookies: [{ name: "k", value: "v", domain: "127.0.0.1", sameSite: "Lax" }],
    }));
    found.urlPdf = base64(await new UrlConverter().convert({ url, properties: { singlePage: true } }));
    try {
        await new HtmlConverter().convert({
            html: Buffer.from("<script>null.x</script>"), failOnConsoleExceptions: true,
            trace: "client-trace",
        });
    } catch (error) {
        found.error = error.message;
    }
    process.stdout.write(JSON.stringify(found));
}

main(process.argv.slice(2));
