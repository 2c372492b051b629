/** A real Sluice for tests of the web side: one nats-server, and gateway, exporter and notifier as processes of their own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { copyFileSync, createWriteStream, existsSync, linkSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The flights as npm brings them: 3,000,000 rows. */
export const FLIGHTS = fileURLToPath(
  new URL("../node_modules/vega-datasets/data/flights-3m.parquet", import.meta.url),
);

/** Longest wait for a process to be ready or gone, in milliseconds. */
const TIMEOUT_MS = 90_000;
const POLL_MS = 50;
/** Longest wait for one answer while it starts: Node's `fetch` may never hear that a line was closed as soon as it was open. */
const PROBE_MS = 10_000;

/** Ports below those that systems give to whoever asks for any: nobody comes upon one of these while it is ours. */
const PORTS = { first: 22_200, count: 9_000 };

/** Whom the page offers, and whose tokens {@link Stack.token} makes. */
export const PEOPLE = [
  { id: "alice", name: "Alice", sub: "alice", tenant: "acme" },
  { id: "bob", name: "Bob", sub: "bob", tenant: "acme" },
  { id: "carol", name: "Carol", sub: "carol", tenant: "globex" },
] as const;

type Service = "gateway" | "exporter" | "notifier";

/** How a stack differs from the default. */
export interface StackOptions {
  /** Settings of every service, as environment variables. */
  env?: Record<string, string>;
  /** Another folder of datasets than one with `flights`. */
  datasets?: string;
  /** A catalog file, with paths that begin at the folder of datasets. */
  catalog?: string;
  /** Files to be put into the folder of datasets, by name. */
  files?: Record<string, string>;
  /** By which other names the flights are there too. */
  flights?: string[];
  /** The `iss` of tokens, where it is not the default. */
  issuer?: string;
  /** Named in the messages when something fails. */
  name?: string;
}

function requiredPath(variable: string): string {
  const value = process.env[variable];
  if (!value || !existsSync(value)) {
    throw new Error(`${variable} names nothing that is there: run \`cargo xtask test\`, which sets it`);
  }
  return value;
}

/** Everything that one test file runs against. {@link stop} ends it and leaves nothing behind. */
export class Stack {
  readonly #folder: string;
  readonly #port: number;
  readonly #env: Record<string, string>;
  readonly #secret: string;
  readonly #issuer: string;
  readonly #running = new Map<string, ChildProcess>();

  private constructor(
    folder: string,
    port: number,
    env: Record<string, string>,
    secret: string,
    issuer: string,
  ) {
    this.#folder = folder;
    this.#port = port;
    this.#env = env;
    this.#secret = secret;
    this.#issuer = issuer;
  }

  /** Starts all of it, and waits until the gateway is ready and knows what there is to export. */
  static async start(options: StackOptions = {}): Promise<Stack> {
    const folder = await mkdtemp(join(tmpdir(), "sluice-web-"));
    const port = await freePort();
    const natsPort = await freePort(port);
    const secret = randomBytes(32).toString("hex");
    let { datasets } = options;
    if (!datasets) {
      datasets = join(folder, "datasets");
      await mkdir(datasets);
      linkOrCopy(FLIGHTS, join(datasets, "flights.parquet"));
    }
    for (const name of options.flights ?? []) {
      linkOrCopy(FLIGHTS, join(datasets, name));
    }
    for (const [name, text] of Object.entries(options.files ?? {})) {
      await writeFile(join(datasets, name), text);
    }
    const catalog = join(folder, "catalog.toml");
    if (options.catalog !== undefined) {
      await writeFile(catalog, options.catalog);
    }
    const people = PEOPLE.map(
      ({ id, name, sub, tenant }) => `{id="${id}", name="${name}", sub="${sub}", tenant="${tenant}"}`,
    );
    const env = {
      SLUICE_NATS__URL: `nats://127.0.0.1:${natsPort}`,
      SLUICE_DATABASE__URL: `sqlite://${join(folder, "sluice.db")}?mode=rwc`,
      SLUICE_STORE__URL: `file://${join(folder, "files")}`,
      SLUICE_EXPORTER__DATASETS_DIR: datasets,
      ...(options.catalog === undefined ? undefined : { SLUICE_EXPORTER__CATALOG: catalog }),
      SLUICE_GATEWAY__LISTEN: `127.0.0.1:${port}`,
      SLUICE_GATEWAY__WEB_DIR: fileURLToPath(new URL("../app/dist", import.meta.url)),
      SLUICE_GATEWAY__IDENTITY__LOCAL__SECRET: secret,
      SLUICE_GATEWAY__IDENTITY__LOCAL__SIGN_IN: "true",
      SLUICE_GATEWAY__IDENTITY__LOCAL__PEOPLE: `[${people.join(", ")}]`,
      SLUICE_CREDITS__ZONE: zoneAtNoon(new Date()),
      ...options.env,
    };
    const stack = new Stack(folder, port, env, secret, options.issuer ?? "sluice");
    try {
      await mkdir(join(folder, "files"));
      stack.#spawn("nats", requiredPath("SLUICE_NATS_SERVER"), [
        ...["-a", "127.0.0.1", "-p", String(natsPort), "-js", "-sd", join(folder, "nats")],
      ]);
      await until("nats-server listens", async () => portTaken(natsPort));
      stack.sluice(["migrate"]);
      for (const service of ["notifier", "exporter", "gateway"] as const) {
        stack.launch(service);
      }
      await stack.ready();
      return stack;
    } catch (cause) {
      const logs = await stack.logs();
      await stack.stop();
      throw new Error(`${options.name ?? "the stack"} did not start\n${logs}`, { cause });
    }
  }

  /** Where the gateway answers. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Waits until the gateway is ready, and has heard of a dataset. */
  async ready(): Promise<void> {
    const headers = { authorization: `Bearer ${this.token()}` };
    const ask = (path: string) => fetch(this.url + path, { headers, signal: AbortSignal.timeout(PROBE_MS) });
    await until("the gateway is ready", async () => (await ask("/readyz")).ok);
    await until("a dataset is on offer", async () => {
      const response = await ask("/v1/datasets");
      return ((await response.json()) as { items: unknown[] }).items.length > 0;
    });
  }

  /** Starts a service. */
  launch(service: Service): void {
    this.#spawn(service, requiredPath("SLUICE_BIN"), [service]);
  }

  /** Kills a service as a crash would, and waits until it is gone. */
  async kill(service: Service): Promise<void> {
    await this.#end(service, "SIGKILL");
  }

  /** Stops a service as an operator would, and waits until it is gone. */
  async terminate(service: Service): Promise<void> {
    await this.#end(service, "SIGTERM");
  }

  /**
   * Stops a service in its tracks, so that whatever it does takes as long as a test wants. Not while it writes to the
   * database, which all others would wait for.
   */
  async pause(service: Service): Promise<void> {
    const child = this.#running.get(service);
    await until(`the ${service} stands still between two writes`, async () => {
      child?.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const writes = await holdsLock(child?.pid);
      if (writes) {
        child?.kill("SIGCONT");
      }
      return !writes;
    });
  }

  /** Lets it go on. */
  resume(service: Service): void {
    this.#running.get(service)?.kill("SIGCONT");
  }

  /** Runs a command of the binary to its end. Gives what it printed. */
  sluice(args: string[]): string {
    const done = spawnSync(requiredPath("SLUICE_BIN"), args, { env: this.#environment(), encoding: "utf8" });
    if (done.status !== 0) {
      throw new Error(`sluice ${args.join(" ")}: ${done.stderr || done.error}`);
    }
    return done.stdout;
  }

  /** Gives somebody more credits. */
  grant(sub: string, tenant: string, amount: number): void {
    this.sluice(["credits", "grant", "--sub", sub, "--tenant", tenant, "--amount", String(amount)]);
  }

  /** A token of the local identity; `ttlS` is how long it lasts, in seconds. */
  token(sub = "alice", tenant = "acme", { ttlS = 3600, scope = "export:*" } = {}): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.#issuer, aud: "sluice", sub, tenant, scope, iat: now, exp: now + ttlS };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${createHmac("sha256", this.#secret).update(text).digest("base64url")}`;
  }

  /** A REST call as somebody, alice when nobody is named. */
  rest(method: string, path: string, body?: unknown, token = this.token()): Promise<Response> {
    return fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? undefined : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  }

  /** What every process has said, for a test that failed. */
  async logs(): Promise<string> {
    const names = [...this.#running.keys()];
    const texts = await Promise.all(
      names.map((name) => readFile(join(this.#folder, `${name}.log`), "utf8").catch(() => "")),
    );
    return names.map((name, index) => `--- ${name}\n${(texts[index] ?? "").slice(-4_000)}`).join("\n");
  }

  /** Ends everything, and removes its folder. */
  async stop(): Promise<void> {
    for (const name of [...this.#running.keys()].reverse()) {
      await this.#end(name, "SIGKILL");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  #environment(): NodeJS.ProcessEnv {
    const { PATH = "", HOME = "" } = process.env;
    return { PATH, HOME, ...this.#env };
  }

  #spawn(name: string, program: string, args: string[]): void {
    const child = spawn(program, args, { env: this.#environment(), stdio: ["ignore", "pipe", "pipe"] });
    const log = createWriteStream(join(this.#folder, `${name}.log`), { flags: "a" });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    this.#running.set(name, child);
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#running.get(name);
    this.#running.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) {
      return;
    }
    await new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill(signal);
    });
  }
}

/** A zone in which it is about noon, so that no test lives to see a midnight, which gives everybody a credit. */
function zoneAtNoon(now: Date): string {
  const behind = now.getUTCHours() - 12; // of these names `+` lies to the west
  return `Etc/GMT${behind > 0 ? "+" : ""}${behind || ""}`;
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to); // on another disk
  }
}

/** Looks again and again until it holds; a look that fails is one that does not hold yet. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      if (await holds()) {
        return;
      }
    } catch (cause) {
      last = cause;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`${what}: not within ${TIMEOUT_MS} ms`, { cause: last });
}

async function portTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once("error", () => resolve(true))
      .listen(port, "127.0.0.1", () => probe.close(() => resolve(false)));
  });
}

/** Whether a process has locked a part of a file for itself, as SQLite does while it writes. Known on Linux alone. */
async function holdsLock(pid: number | undefined): Promise<boolean> {
  const locks = await readFile("/proc/locks", "utf8").catch(() => "");
  return locks.split("\n").some((line) => / POSIX .* WRITE /.test(line) && line.includes(` ${pid} `));
}

async function freePort(other?: number): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (port !== other && !(await portTaken(port))) {
      return port;
    }
  }
}
