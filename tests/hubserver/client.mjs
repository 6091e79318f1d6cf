// What an independent client does to the loopback Hub; prints what it saw as JSON.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const [url, modules] = process.argv.slice(2);
const hub = createRequire(`${modules}/`)("@huggingface/hub");
const common = { repo: { type: "model", name: "me/from-node" }, hubUrl: url, accessToken: "hf_me" };
const card =
  "---\nlicense: mit\ntags:\n- textual_inversion\nbase_model: some/base\n---\n# A word\n";
const bytes = new Uint8Array(256 * 40).map((_, i) => i % 256);

await hub.createRepo({ ...common, license: undefined });
const first = await hub.uploadFiles({
  ...common,
  useXet: false,
  files: [
    { path: "README.md", content: new Blob([card]) },
    { path: "sub/v.safetensors", content: new Blob([bytes]) },
  ],
});
const files = [];
for await (const file of hub.listFiles({ ...common, recursive: true })) {
  if (file.type === "file") files.push(file.path);
}
const models = [];
for await (const model of hub.listModels({ search: { tags: ["textual_inversion"] }, hubUrl: url })) {
  models.push(model.name);
}
const small = await (await hub.downloadFile({ ...common, path: "README.md" })).text();
const blob = await hub.downloadFile({ ...common, path: "sub/v.safetensors" });
const large = createHash("sha256").update(Buffer.from(await blob.arrayBuffer())).digest("hex");
let commits = 0;
for await (const _ of hub.listCommits(common)) commits += 1;
let conflict = 0;
try {
  await hub.uploadFiles({
    ...common,
    useXet: false,
    parentCommit: "0".repeat(40),
    files: [{ path: "x.txt", content: new Blob(["x"]) }],
  });
} catch (error) {
  conflict = error.statusCode;
}
if (!first.commit.oid) throw new Error("no commit id");
console.log(JSON.stringify({ files, models, small, large, commits, conflict }));
