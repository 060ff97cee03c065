// Bundles the viewer into splat_pipeline/assets/viewer.js, with the licences of all that goes in beside it.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const out = "../splat_pipeline/assets";
const sources = ["package.json", "package-lock.json", "build.mjs", ...readdirSync("src").sort().map((name) => `src/${name}`)];
const digest = createHash("sha256");
for (const name of sources) digest.update(readFileSync(name));

const result = await build({
  entryPoints: ["src/main.js"],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  write: false,
  metafile: true,
});
// fflate comes inside spark.
const used = new Set(["fflate", ...Object.keys(result.metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean)]);
const packages = [...used].sort().map((name) => {
  const about = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
  const licence = readdirSync(`node_modules/${name}`).find((file) => /^licen[cs]e/i.test(file));
  if (!licence) throw new Error(`${name} brings no licence text`);
  return { name, version: about.version, spdx: about.license, text: readFileSync(`node_modules/${name}/${licence}`, "utf8").trim() };
});
const listed = packages.map(({ name, version, spdx }) => `${name} ${version} (${spdx})`).join(", ");
// Nothing in the text may end the script element that it stands in.
const code = result.outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
writeFileSync(`${out}/viewer.js`, `/* ${listed}; sources ${digest.digest("hex")} */\n${code}`);
writeFileSync(`${out}/viewer.licences.txt`, packages.map(({ name, version, spdx, text }) => `${name} ${version} (${spdx})\n\n${text}\n`).join("\n----\n\n"));
console.log(`${listed}: ${code.length} bytes`);
