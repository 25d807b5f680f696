// Takes pictures and PDFs with puppeteer, and asks browserless' routes for the same with the same options.
//
// Reads on its input a list of {name, route, html, viewport, emulateMediaType, selector, options}. Of each it writes
// NAME.theirs and NAME.ours into the folder OUT. ADDRESS is that of the service, TOKEN its token, CHROME the program.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');
// The program lies in the tree and its packages in the folder where it is started.
const puppeteer = createRequire(`${process.cwd()}/`)('puppeteer-core');

const write = (name, bytes) => fs.writeFileSync(path.join(process.env.OUT, name), bytes);

async function theirs(browser, { route, html, viewport, emulateMediaType, selector, options }) {
  const page = await browser.newPage();
  try {
    if (emulateMediaType) await page.emulateMediaType(emulateMediaType);
    if (viewport) await page.setViewport(viewport);
    await page.setContent(html, { waitUntil: 'load' });
    if (route === 'pdf') return await page.pdf(options);
    const target = selector ? await page.$(selector) : page;
    return await target.screenshot(options);
  } finally {
    await page.close();
  }
}

async function ours({ name, route, ...body }) {
  const answer = await fetch(`${process.env.ADDRESS}/${route}?token=${process.env.TOKEN}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache' },
    body: JSON.stringify(body),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${bytes}`);
  return bytes;
}

async function main() {
  const cases = JSON.parse(fs.readFileSync(0, 'utf8'));
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROME,
    headless: process.env.CHROME.includes('headless-shell') ? 'shell' : true,
    args: process.getuid() === 0 ? ['--no-sandbox'] : [],
  });
  try {
    for (const one of cases) {
      write(`${one.name}.theirs`, await theirs(browser, one));
      write(`${one.name}.ours`, await ours(one));
    }
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
