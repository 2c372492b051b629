/**
 * A real Sluice for the tests of the SDK and the page: one nats-server, and gateway, exporter and notifier as separate
 * processes.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { copyFileSync, createWriteStream, existsSync, linkSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { configuredJitter, JitterProxy, jitter } from "./jitterProxy.js";

/** The flights dataset of the npm package `vega-datasets`: 3,000,000 rows. */
export const FLIGHTS = fileURLToPath(
  new URL("../node_modules/vega-datasets/data/flights-3m.parquet", import.meta.url),
);

/** The script that puts the demo datasets and their catalog into a folder. */
const SEED = fileURLToPath(new URL("../../ops/demo/seed.py", import.meta.url));

/** Maximum wait for a process to start or stop, in milliseconds. */
const TIMEOUT_MS = 90_000;
const POLL_MS = 50;
/**
 * Timeout of one request during the start, in milliseconds: Node's `fetch` may miss a connection that closes right
 * after opening.
 */
const PROBE_MS = 10_000;

/** Ports below the ephemeral ranges of common systems, so that no other process gets one by chance. */
const PORTS = { first: 22_200, count: 9_000 };

/** The users on the sign-in page, and of {@link Stack.token}. */
export const LOCAL_USERS = [
  { id: "alice", name: "Alice", sub: "alice", tenant: "acme" },
  { id: "bob", name: "Bob", sub: "bob", tenant: "acme" },
  { id: "carol", name: "Carol", sub: "carol", tenant: "globex" },
] as const;

type Service = "gateway" | "exporter" | "notifier";

/** Differences of a stack from the default. */
export interface StackOptions {
  /** Settings of every service, as environment variables. */
  env?: Record<string, string>;
  /** Folder whose files are added to the folder of datasets. The folder itself stays unchanged. */
  datasets?: string;
  /** Additional datasets, which follow those of the demo in the catalog; paths are relative to the folder of datasets. */
  catalog?: string;
  /** Additional files in the folder of datasets, content by name. */
  files?: Record<string, string>;
  /** Additional names of the flights file in the folder of datasets. */
  flights?: string[];
  /** The `iss` claim of tokens. Default `sluice`. */
  issuer?: string;
  /** Whether `SLUICE_JITTER_MS` has no effect, for tests with short timeouts. Default false. */
  withoutJitter?: boolean;
  /** Name of the stack in error messages. */
  name?: string;
}

function requiredPath(variable: string): string {
  const value = process.env[variable];
  if (!value || !existsSync(value)) {
    throw new Error(`${variable} is not set to an existing path: run \`cargo xtask test\`, which sets it`);
  }
  return value;
}

/** One complete Sluice for a test file. {@link stop} ends every process and removes all files. */
export class Stack {
  readonly #folder: string;
  readonly #port: number;
  readonly #env: Record<string, string>;
  readonly #secret: string;
  readonly #issuer: string;
  readonly #running = new Map<string, ChildProcess>();
  #proxy: JitterProxy | undefined;

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

  /** Starts all services, and waits until the gateway is ready and offers a dataset. */
  static async start(options: StackOptions = {}): Promise<Stack> {
    const folder = await mkdtemp(join(tmpdir(), "sluice-web-"));
    const port = await freePort();
    const natsPort = await freePort(port);
    const secret = randomBytes(32).toString("hex");
    const datasets = join(folder, "datasets");
    await seedDatasets(datasets, options);
    const users = LOCAL_USERS.map(
      ({ id, name, sub, tenant }) => `{id="${id}", name="${name}", sub="${sub}", tenant="${tenant}"}`,
    );
    const env = {
      SLUICE_NATS__URL: `nats://127.0.0.1:${natsPort}`,
      SLUICE_DATABASE__URL: `sqlite://${join(folder, "sluice.db")}?mode=rwc`,
      SLUICE_STORE__URL: `file://${join(folder, "files")}`,
      SLUICE_EXPORTER__DATASETS_DIR: datasets,
      SLUICE_EXPORTER__CATALOG: join(datasets, "catalog.toml"),
      SLUICE_GATEWAY__LISTEN: `127.0.0.1:${port}`,
      SLUICE_GATEWAY__WEB_DIR: fileURLToPath(new URL("../app/dist", import.meta.url)),
      SLUICE_GATEWAY__IDENTITY__LOCAL__SECRET: secret,
      SLUICE_GATEWAY__IDENTITY__LOCAL__SIGN_IN: "anyone",
      SLUICE_GATEWAY__IDENTITY__LOCAL__SIGN_IN_USERS: `[${users.join(", ")}]`,
      SLUICE_SCHEDULE_TIME_ZONE: noonTimeZone(new Date()),
      ...options.env,
    };
    const stack = new Stack(folder, port, env, secret, options.issuer ?? "sluice");
    try {
      await mkdir(join(folder, "files"));
      stack.#spawn("nats", requiredPath("SLUICE_NATS_SERVER"), [
        ...["-a", "127.0.0.1", "-p", String(natsPort), "-js", "-sd", join(folder, "nats")],
      ]);
      await waitUntil("nats-server listens", async () => isPortInUse(natsPort));
      stack.sluice(["migrate"]);
      for (const service of ["notifier", "exporter", "gateway"] as const) {
        stack.launch(service);
      }
      const jitterMs = options.withoutJitter ? 0 : configuredJitter();
      if (jitterMs > 0) {
        stack.#proxy = await JitterProxy.start(stack.url, jitter(jitterMs));
      }
      await stack.ready();
      return stack;
    } catch (cause) {
      const logs = await stack.logs();
      await stack.stop();
      throw new Error(`${options.name ?? "the stack"} did not start\n${logs}`, { cause });
    }
  }

  /** Address of the gateway, or of a proxy to it that delays all bytes when `SLUICE_JITTER_MS` is set. */
  get url(): string {
    return this.#proxy?.url ?? `http://127.0.0.1:${this.#port}`;
  }

  /** Waits until the gateway is ready and offers a dataset. */
  async ready(): Promise<void> {
    const headers = { authorization: `Bearer ${this.token()}` };
    const ask = (path: string) => fetch(this.url + path, { headers, signal: AbortSignal.timeout(PROBE_MS) });
    await waitUntil("the gateway is ready", async () => (await ask("/readyz")).ok);
    await waitUntil("a dataset is offered", async () => {
      const response = await ask("/v1/datasets");
      return ((await response.json()) as { items: unknown[] }).items.length > 0;
    });
  }

  /** Starts a service without waiting for it. */
  launch(service: Service): void {
    this.#spawn(service, requiredPath("SLUICE_BIN"), [service]);
  }

  /** Kills a service (SIGKILL), and waits for its exit. */
  async kill(service: Service): Promise<void> {
    await this.#end(service, "SIGKILL");
  }

  /** Terminates a service (SIGTERM), and waits for its exit. */
  async terminate(service: Service): Promise<void> {
    await this.#end(service, "SIGTERM");
  }

  /**
   * Pauses a service (SIGSTOP), but never while it holds the database's write lock, which would block all other
   * services.
   */
  async pause(service: Service): Promise<void> {
    const child = this.#running.get(service);
    await waitUntil(`the ${service} is paused between two writes`, async () => {
      child?.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const writes = await holdsLock(child?.pid);
      if (writes) {
        child?.kill("SIGCONT");
      }
      return !writes;
    });
  }

  /** Continues a paused service. */
  resume(service: Service): void {
    this.#running.get(service)?.kill("SIGCONT");
  }

  /** Runs a command of the `sluice` binary. Returns its standard output. */
  sluice(args: string[]): string {
    const done = spawnSync(requiredPath("SLUICE_BIN"), args, { env: this.#environment(), encoding: "utf8" });
    if (done.status !== 0) {
      throw new Error(`sluice ${args.join(" ")}: ${done.stderr || done.error}`);
    }
    return done.stdout;
  }

  /** Grants credits to a user. */
  grant(sub: string, tenant: string, amount: number): void {
    this.sluice(["credits", "grant", "--sub", sub, "--tenant", tenant, "--amount", String(amount)]);
  }

  /** Signs a token of the local identity; `ttlS` is its lifetime in seconds. */
  token(sub = "alice", tenant = "acme", { ttlS = 3600, scope = "export:*" } = {}): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.#issuer, aud: "sluice", sub, tenant, scope, iat: now, exp: now + ttlS };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${createHmac("sha256", this.#secret).update(text).digest("base64url")}`;
  }

  /** Sends a REST request as the token's user, by default as alice. */
  rest(method: string, path: string, body?: unknown, token = this.token()): Promise<Response> {
    return fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? undefined : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  }

  /** Returns the end of every process's log. */
  async logs(): Promise<string> {
    const names = [...this.#running.keys()];
    const texts = await Promise.all(
      names.map((name) => readFile(join(this.#folder, `${name}.log`), "utf8").catch(() => "")),
    );
    return names.map((name, index) => `--- ${name}\n${(texts[index] ?? "").slice(-4_000)}`).join("\n");
  }

  /** Ends every process, and removes the stack's folder. */
  async stop(): Promise<void> {
    for (const name of [...this.#running.keys()].reverse()) {
      await this.#end(name, "SIGKILL");
    }
    this.#proxy?.close();
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

/** Fills a folder of datasets with the demo, the files of the options and one catalog of all. */
async function seedDatasets(datasets: string, options: StackOptions): Promise<void> {
  await mkdir(datasets);
  for (const name of options.datasets ? await readdir(options.datasets) : []) {
    linkOrCopy(join(options.datasets ?? "", name), join(datasets, name));
  }
  for (const name of ["flights.parquet", ...(options.flights ?? [])]) {
    if (!existsSync(join(datasets, name))) {
      linkOrCopy(FLIGHTS, join(datasets, name));
    }
  }
  for (const [name, text] of Object.entries(options.files ?? {})) {
    await writeFile(join(datasets, name), text);
  }
  const seeded = spawnSync("python3", [SEED, datasets], { encoding: "utf8" });
  if (seeded.status !== 0) {
    throw new Error(`${SEED}: ${seeded.stderr || seeded.error}`);
  }
  await appendFile(join(datasets, "catalog.toml"), options.catalog ?? "");
}

/** Returns a time zone where it is about noon, so that no daily grant occurs during a test. */
function noonTimeZone(now: Date): string {
  const behind = now.getUTCHours() - 12; // POSIX sign: `Etc/GMT+1` is west of Greenwich
  return `Etc/GMT${behind > 0 ? "+" : ""}${behind || ""}`;
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to); // on another file system
  }
}

/** Polls until the condition holds. An exception counts as false. */
async function waitUntil(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  let lastError: unknown;
  while (Date.now() < deadline) {
    try {
      if (await holds()) {
        return;
      }
    } catch (cause) {
      lastError = cause;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`${what}: not within ${TIMEOUT_MS} ms`, { cause: lastError });
}

async function isPortInUse(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once("error", () => resolve(true))
      .listen(port, "127.0.0.1", () => probe.close(() => resolve(false)));
  });
}

/** Returns whether a process holds a write lock, as SQLite does while it writes (Linux only). */
async function holdsLock(pid: number | undefined): Promise<boolean> {
  const locks = await readFile("/proc/locks", "utf8").catch(() => "");
  return locks.split("\n").some((line) => / POSIX .* WRITE /.test(line) && line.includes(` ${pid} `));
}

async function freePort(other?: number): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (port !== other && !(await isPortInUse(port))) {
      return port;
    }
  }
}
