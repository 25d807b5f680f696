// A picture service as most begin: a Chrome launched for each render, closed the library's way.
//
// POST /render {"html", "width", "height"} -> PNG. With ?ending=killed the browser process gets
// SIGKILL instead, as a time-out handler would do. On SIGTERM it says so, cleans up for 300 ms, says
// that it has, and leaves with 0. Chrome's own words go to the log.
'use strict';

const http = require('node:http');
const puppeteer = require('puppeteer-core');

const CHROME = '/usr/lib/chromium/chromium-headless-shell';
const CLEANING_MS = 300;
const PATIENCE_MS = 10000;

async function render({ html, width, height }, ending) {
  const browser = await puppeteer.launch({
    executablePath: CHROME,
    headless: 'shell',
    args: ['--no-sandbox'],
    timeout: PATIENCE_MS,
    dumpio: true,
  });
  try {
    return await within(PATIENCE_MS, paint(browser, html, { width, height }));
  } finally {
    await end(browser, ending);
  }
}

async function paint(browser, html, viewport) {
  const page = await browser.newPage();
  await page.setViewport(viewport);
  await page.setContent(html);
  return page.screenshot({ type: 'png' });
}

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no picture in ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function end(browser, ending) {
  if (ending !== 'killed') return browser.close();
  const chrome = browser.process();
  const gone = new Promise((resolve) => chrome.once('exit', resolve));
  chrome.kill('SIGKILL');
  await gone;
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://service');
  if (request.method !== 'POST' || url.pathname !== '/render') {
    response.writeHead(404).end();
    return;
  }
  try {
    const picture = await render(await body(request), url.searchParams.get('ending'));
    response.writeHead(200, { 'Content-Type': 'image/png' }).end(picture);
  } catch (error) {
    response.writeHead(500, { 'Content-Type': 'text/plain' }).end(String(error.stack || error));
  }
}

const server = http.createServer(answer);

process.on('SIGTERM', () => {
  console.log('told');
  server.close();
  setTimeout(() => {
    console.log('cleaned up');
    process.exit(0);
  }, CLEANING_MS);
});

server.listen(Number(process.env.PORT), () => console.log('ready'));
