// Builds the pages' scripts and styles into poster_service/web/assets, which is committed, so that the service
// itself needs no Node.js. Names have a hash of the contents, so that browsers may keep the files forever;
// manifest.json says which name a page's file has. tests/web/test_built.py builds again and compares the bytes.
//
//   npm ci && npm run build              into the package
//   npm run build -- FOLDER              into another folder, for that test
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "poster_service", "web", "assets");
const swagger = join(here, "node_modules", "swagger-ui-dist");

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const result = await build({
  absWorkingDir: here,
  entryPoints: [...["studio", "docs", "fonts", "status"].flatMap((one) => [`src/${one}/${one}.ts`, `src/${one}/${one}.css`]), "src/shared/icon.svg"],
  entryNames: "[name]-[hash]",
  chunkNames: "part-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  outdir: out,
});

const manifest = {};
for (const file of result.outputFiles) {
  writeFileSync(file.path, file.contents);
}
const packages = new Set();
for (const [path, output] of Object.entries(result.metafile.outputs)) {
  if (output.entryPoint && !basename(path).startsWith("part-")) manifest[basename(output.entryPoint).replace(/\.ts$/, ".js")] = basename(path);
  for (const input of Object.keys(output.inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input);
    if (found) packages.add(found[1]);
  }
}
// Swagger UI is built already; its own notices are in LICENSE.txt beside it.
for (const [name, from] of [["swagger-ui.js", "swagger-ui-bundle.js"], ["swagger-ui.css", "swagger-ui.css"]]) {
  // Without the comment that names a source map, which is not served.
  const text = readFileSync(join(swagger, from), "utf8").replace(/\n?(\/\/#|\/\*#) sourceMappingURL=[^\n]*\n?$/, "\n");
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 8).toUpperCase();
  manifest[name] = name.replace(".", `-${hash}.`);
  writeFileSync(join(out, manifest[name]), text);
}
packages.add("swagger-ui-dist");

writeFileSync(join(out, "licenses.txt"), [...packages].sort().map(notice).join("\n\n"));
writeFileSync(join(out, "manifest.json"), JSON.stringify(sorted(manifest), null, 2) + "\n");
for (const [name, file] of Object.entries(sorted(manifest))) {
  console.log(`${name}: ${relative(process.cwd(), join(out, file))}`);
}

function notice(name) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = ["LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"];
  const texts = files.map((one) => join(folder, one)).filter(existsSync).map((one) => readFileSync(one, "utf8").trim());
  return [`${name} ${version} (${license})`, ...texts].join("\n\n") + "\n";
}

function sorted(object) {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
