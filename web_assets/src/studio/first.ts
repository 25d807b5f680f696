/** What the page begins with: a small poster that shows what HTML and CSS can do here. */

export const FIRST_OPTIONS = { width: 1200, height: 630 };

export const FIRST_HTML = `<!doctype html>
<style>
  body { margin: 0; height: 100vh; overflow: hidden; position: relative; color: #fff;
         font-family: "Noto Sans", sans-serif; background: linear-gradient(#2b3fae, #7a5bd0) }
  .sun { position: absolute; right: 70px; bottom: -190px; width: 440px; height: 440px;
         border-radius: 50%; background: #ffb45e }
  main { position: absolute; left: 96px; top: 176px }
  h1 { margin: 0; font-size: 116px; letter-spacing: -.03em }
  p { margin: 12px 0 0; font-size: 38px; opacity: .85 }
</style>
<div class="sun"></div>
<main>
  <h1>Hello 你好 👋</h1>
  <p>Edit me. The picture follows.</p>
</main>
`;

export const FIRST_MARKDOWN = `# Release notes

The **studio** renders while you type.

| what | how |
|---|---|
| pictures | PNG, JPEG, WebP, AVIF |
| documents | PDF with headers and footers |
`;
