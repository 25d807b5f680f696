// A picture service with puppeteer, as it is usually written.
//
// POST /render {"html", "width", "height", "full_page", "device_scale_factor"} -> PNG. DESIGN is what each render has of its
// own: context (a browser context in one shared browser), page (a page out of a pool, none of its
// own at all) or launch (a browser). FAST=1 asks for optimizeForSpeed. It tells its address on stdout.
'use strict';

const http = require('node:http');
const { createRequire } = require('node:module');
// The program lies in the tree and its packages in the cache, where it is started.
const puppeteer = createRequire(`${process.cwd()}/`)('puppeteer-core');

const DESIGN = process.env.DESIGN || 'context';
const FAST = process.env.FAST === '1';
const OPTIONS = {
  executablePath: process.env.CHROME,
  headless: 'shell',
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
  handleSIGTERM: false,
};

let shared; // the browser that all renders share
const idle = []; // pages between renders

async function paint(page, { html, width, height, full_page: fullPage, ...more }) {
  await page.setViewport({ width, height, deviceScaleFactor: more.device_scale_factor || 1 });
  await page.setContent(html, { waitUntil: 'load' });
  return page.screenshot({ type: 'png', fullPage: Boolean(fullPage), optimizeForSpeed: FAST });
}

const designs = {
  async context(body) {
    const context = await shared.createBrowserContext();
    try {
      return await paint(await context.newPage(), body);
    } finally {
      await context.close();
    }
  },
  async page(body) {
    const page = idle.pop() || (await shared.newPage());
    const picture = await paint(page, body);
    idle.push(page);
    return picture;
  },
  async launch(body) {
    const browser = await puppeteer.launch(OPTIONS);
    try {
      return await paint(await browser.newPage(), body);
    } finally {
      await browser.close();
    }
  },
};

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

async function answer(request, response) {
  try {
    const picture = await designs[DESIGN](await body(request));
    response.writeHead(200, { 'Content-Type': 'image/png' }).end(picture);
  } catch (error) {
    response.writeHead(500, { 'Content-Type': 'text/plain' }).end(String(error.stack || error));
  }
}

async function main() {
  if (DESIGN !== 'launch') shared = await puppeteer.launch(OPTIONS);
  const server = http.createServer(answer);
  process.on('SIGTERM', async () => {
    if (shared) await shared.close();
    process.exit(0);
  });
  server.listen(0, '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}

main();
