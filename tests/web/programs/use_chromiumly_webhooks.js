// Has npm's `chromiumly` ask for files by webhook; prints one JSON object. Run in a folder from which
// Node.js finds it, with the address of the service, a user, a password and the receiver's address.

const { createRequire } = require("node:module");
const find = createRequire(`${process.cwd()}/`);
const { Chromiumly, HtmlConverter } = find("chromiumly");

async function main([endpoint, username, password, receiver]) {
    Chromiumly.configure({ endpoint, username, password });
    const webhook = {
        webhookUrl: `${receiver}/file`, webhookErrorUrl: `${receiver}/error`,
        webhookEventsUrl: `${receiver}/events`, webhookMethod: "PUT", webhookErrorMethod: "PATCH",
        webhookExtraHttpHeaders: { "X-Own": "of the client" },
    };
    const html = Buffer.from("<p>By webhook");
    const answers = [];
    for (const [trace, waitForExpression] of [["good", "1 < 2"], ["bad", "no.such.thing()"]]) {
        const body = await new HtmlConverter().convert({
            html, waitForExpression, webhook, outputFilename: "from-client", trace,
        });
        answers.push([204, body.length]);
    }
    process.stdout.write(JSON.stringify({ answers }));
}

main(process.argv.slice(2));
