import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Locator, type Page } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { readCsv, savedBytes, savedDigest } from "./pageActions.js";
import { Products } from "./products.js";
import { ThrottledProxy } from "./throttledProxy.js";

/** Maximum start time of the stack, in milliseconds. */
const START_MS = 240_000;

/** Three products of another origin, and a Sluice that lets their origin call its API. */
const test = base.extend<{ gatewayProxy: ThrottledProxy }, { products: Products; stack: Stack }>({
  products: [
    async ({ browserName: _ }, use) => {
      const products = await Products.start();
      await use(products);
      products.stop();
    },
    { scope: "worker" },
  ],
  stack: [
    async ({ products }, use) => {
      const env = {
        SLUICE_GATEWAY__ALLOWED_ORIGINS: `["${products.origin}"]`,
        SLUICE_CREDITS__INITIAL_BALANCE: "1000",
        SLUICE_NOTIFIER__MAX_IN_FLIGHT_PER_TENANT_POOL_AND_LANE: "1", // so that a second export waits
      };
      const stack = await Stack.start({ name: "embedding stack", env });
      await use(stack);
      await stack.stop();
    },
    { scope: "worker", timeout: START_MS },
  ],
  gatewayProxy: [
    async ({ stack, products }, use) => {
      const gatewayProxy = await ThrottledProxy.start(stack.url);
      products.token = stack.token();
      await products.connect(gatewayProxy.url);
      await use(gatewayProxy);
      gatewayProxy.close();
    },
    { auto: true },
  ],
  baseURL: async ({ products }, use) => use(products.origin),
});

const element = (page: Page) => page.locator("sluice-export").first();
const mainButton = (page: Page) => element(page).locator("[part=button]");
const phase = (page: Page) => element(page).locator("[part=base]");

/** Opens a page. Returns a list that gets the violations of its policy, and all errors of its scripts. */
async function open(page: Page, path: string): Promise<string[]> {
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy|Trusted/i.test(message.text())) {
      faults.push(message.text());
    }
  });
  await page.goto(path);
  await expect(mainButton(page)).toBeVisible();
  return faults;
}

async function expectPhase(page: Page, expected: string): Promise<void> {
  await expect(phase(page)).toHaveAttribute("data-phase", expected, { timeout: 180_000 });
}

/** Expects no violation that axe rates serious or critical. */
async function expectAccessible(page: Page, what: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(
    serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    what,
  ).toEqual([]);
}

/** Collects the element's events at the document, to which they bubble. */
async function recordEvents(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const names: string[] = [];
    Object.assign(window, { names });
    for (const name of ["started", "progress", "completed", "failed"]) {
      document.addEventListener(`sluice-${name}`, () => {
        if (names.at(-1) !== name) {
          names.push(name);
        }
      });
    }
  });
  return () => page.evaluate(() => (window as unknown as { names: string[] }).names);
}

/** Returns the user's newest export. */
async function newestExport(stack: Stack) {
  const page = (await (await stack.rest("GET", "/v1/exports?limit=1")).json()) as {
    items: { status: string; file: { sha256: string } | null }[];
  };
  return page.items[0];
}

/** Returns the digest of the seal of the user's newest export. */
async function newestDigest(stack: Stack): Promise<string | undefined> {
  return (await newestExport(stack))?.file?.sha256;
}

test("two lines of HTML on another origin export, and no token is left behind", async ({
  page,
  gatewayProxy,
  products,
  stack,
}) => {
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  page.on("websocket", (socket) => urls.push(socket.url()));
  const faults = await open(page, "/plain");
  await expectAccessible(page, "before the export");
  const events = await recordEvents(page);
  await page.evaluate(() => {
    const bar = document.querySelector("sluice-export")?.shadowRoot?.querySelector("[role=progressbar]");
    Object.assign(window, { sawBar: false });
    new MutationObserver(() => {
      if (bar instanceof HTMLElement && !bar.hidden) {
        Object.assign(window, { sawBar: true });
      }
    }).observe(bar ?? document, { attributes: true });
  });
  const downloading = page.waitForEvent("download");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const download = await downloading;
  expect(download.suggestedFilename()).toMatch(/\.csv$/);
  await expectPhase(page, "saved");
  await expect(mainButton(page)).toContainText("Handed to your browser");
  await expectAccessible(page, "after the export");
  expect(await savedDigest(download)).toBe(await newestDigest(stack));
  expect(await events()).toEqual(["started", "progress", "completed"]);
  expect(await page.evaluate(() => Object.entries(window).find(([name]) => name === "sawBar")?.[1])).toBe(
    true,
  );
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("SLUICE-EXPORT");
  await expectPhase(page, "idle");
  await expect(mainButton(page)).toContainText("Export");

  const token = products.token ?? "";
  expect(urls.some((url) => url.startsWith(gatewayProxy.url.replace("http", "ws")))).toBe(true);
  expect(urls.filter((url) => url.includes(token))).toEqual([]);
  const left = await page.evaluate(() =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.body.outerHTML]),
  );
  expect(left).not.toContain("eyJ");
  expect(faults).toEqual([]);
});

test("a script with another hash does not run", async ({ page, gatewayProxy, products }) => {
  await products.connect(gatewayProxy.url, `sha384-${"A".repeat(64)}`);
  const refused = page.waitForEvent("console", (message) => /integrity/.test(message.text()));
  await page.goto("/plain");
  await refused;
  expect(await page.evaluate(() => customElements.get("sluice-export") === undefined)).toBe(true);
});

test("an export resumes at the same byte after the gateway's restart, and is saved", async ({
  page,
  gatewayProxy,
  stack,
}) => {
  const faults = await open(page, "/plain");
  gatewayProxy.pauseAfter(10_000_000);
  await mainButton(page).click();
  const received = () =>
    page.evaluate(() => {
      const found = document.querySelector("sluice-export") as unknown as { state: { received: number } };
      return found.state.received;
    });
  await expect.poll(received, { timeout: 180_000 }).toBeGreaterThan(2_000_000);
  await stack.kill("gateway");
  gatewayProxy.disconnect();
  await expect(phase(page)).toHaveAttribute("data-interrupted", "");
  await expect(mainButton(page)).toContainText("Connection lost. Continues by itself.");
  await expectAccessible(page, "while the connection is lost");
  const before = await received();
  gatewayProxy.pauseAfter(5_000_000);
  stack.launch("gateway");
  await expect.poll(received, { timeout: 180_000 }).toBeGreaterThan(before);
  const downloading = page.waitForEvent("download", { timeout: 240_000 });
  gatewayProxy.release();
  expect(await savedDigest(await downloading)).toBe(await newestDigest(stack));
  await expectPhase(page, "saved");
  expect(faults).toEqual([]);
});

test("a file of an earlier page load is removed at the next large export", async ({ page }) => {
  const privateFiles = () =>
    page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("sluice-exports", { create: true });
      const names: string[] = [];
      for await (const name of folder.keys()) {
        names.push(name);
      }
      return names;
    });
  const saved: string[][] = [];
  for (let load = 0; load < 2; load += 1) {
    await open(page, "/plain");
    const downloading = page.waitForEvent("download");
    await mainButton(page).click();
    expect(await (await downloading).failure()).toBeNull();
    saved.push(await privateFiles());
  }
  expect(saved.map((names) => names.length)).toEqual([1, 1]);
  expect(saved[1]).not.toEqual(saved[0]);
});

test("the place in the queue shows, and a canceled export stops", async ({ page, stack }) => {
  await open(page, "/plain");
  const events = await recordEvents(page);
  await stack.pause("exporter");
  try {
    const first = await stack.rest("POST", "/v1/exports", { dataset: "flights" }, stack.token("bob"));
    expect(first.status).toBe(202);
    await mainButton(page).click();
    await expectPhase(page, "queued");
    await expect(mainButton(page)).toContainText(/Next in the queue|1 export ahead/);
    await expect(element(page).getByRole("progressbar")).toHaveAttribute("aria-valuetext", /queue|ahead/);
    await expectAccessible(page, "in the queue");
    const fill = element(page).locator("[part=progress-fill]");
    await expect(fill).toHaveCSS("animation-name", "slide");
    await page.emulateMedia({ reducedMotion: "reduce" });
    await expect(fill).toHaveCSS("animation-name", "none");
    await mainButton(page).click({ force: true }); // a second press changes nothing
    await element(page).locator("[part=cancel]").click();
    await expectPhase(page, "failed");
    await expect(element(page).locator("[part=message]")).toHaveText("The export was canceled.");
    await expect(mainButton(page)).toHaveAccessibleName("Try again");
    await expectAccessible(page, "after a failure");
    expect(await events()).toEqual(["started", "progress", "failed"]);
  } finally {
    stack.resume("exporter");
  }
  await expect.poll(async () => (await newestExport(stack))?.status).toBe("canceled");
  const downloading = page.waitForEvent("download");
  await mainButton(page).click();
  await downloading;
});

test("without a session the button says so, and an unknown origin gets nothing", async ({
  page,
  gatewayProxy,
  products,
}) => {
  products.token = undefined;
  await open(page, "/plain");
  await mainButton(page).click();
  await expect(element(page).locator("[part=message]")).toContainText("You are not signed in any more");
  await element(page).evaluate((found) => found.removeAttribute("token-url"));
  await mainButton(page).click();
  await expect(element(page).locator("[part=message]")).toContainText("You are not signed in here");
  await page.goto(`${products.origin.replace("127.0.0.1", "localhost")}/plain`);
  await element(page).evaluate((found) => Object.assign(found, { token: "a.b.c" }));
  const refused = page.waitForEvent("requestfailed", (request) => request.url().startsWith(gatewayProxy.url));
  await mainButton(page).click();
  await refused;
});

test("a token set before the script runs is used, and a wrong attribute is named", async ({
  page,
  products,
}) => {
  await page.addInitScript((token) => {
    document.addEventListener("readystatechange", () => {
      const found = document.querySelector("sluice-export");
      found?.removeAttribute("token-url");
      Object.assign(found ?? {}, { token, filter: { origin: { eq: "SEA" } }, columns: ["date", "origin"] });
    });
  }, products.token);
  await open(page, "/plain");
  const downloading = page.waitForEvent("download");
  await mainButton(page).click();
  const { header, data } = readCsv(await savedBytes(await downloading));
  expect(header).toEqual(["date", "origin"]);
  expect(new Set(data.map(([, origin]) => origin))).toEqual(new Set(["SEA"]));
  await expectPhase(page, "idle");
  await element(page).evaluate((found) => Object.assign(found, { filter: "origin=SEA" }));
  await mainButton(page).click();
  await expect(element(page).locator("[part=message]")).toContainText("(filter)");
});

test("a press after a failure uses what the attributes say now", async ({ page, products, stack }) => {
  products.token = undefined;
  await open(page, "/plain");
  await mainButton(page).click();
  await expectPhase(page, "failed");
  products.token = stack.token();
  await element(page).evaluate((found) => found.setAttribute("filter", "{"));
  await mainButton(page).click();
  const message = element(page).locator("[part=message]");
  await expect(message).toContainText("(filter)");
  await element(page).evaluate((found) => found.setAttribute("filter", '{"origin":{"eq":"SEA"}}'));
  await expect(message).not.toContainText("(filter)");
  const downloading = page.waitForEvent("download");
  await mainButton(page).click();
  const { data } = readCsv(await savedBytes(await downloading));
  expect(data.length).toBeGreaterThan(0);
  expect(data.every((row) => row.includes("SEA"))).toBe(true);
});

test("a gateway that only markup names gets no token", async ({ page }) => {
  await open(page, "/plain");
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await element(page).evaluate((found) => {
    found.removeAttribute("token-url");
    found.setAttribute("base-url", "https://elsewhere.example");
    Object.assign(found, { token: "a.b.c" });
  });
  await mainButton(page).click();
  const message = element(page).locator("[part=message]");
  await expect(message).toContainText("(base-url)");
  expect(asked).toEqual([]);
  await element(page).evaluate((found) => {
    Object.assign(found, { baseUrl: "https://elsewhere.example" });
  });
  await mainButton(page).click();
  await expect(message).toContainText("can't be reached"); // the policy of this page stops the request
});

test("a cancellation without a connection is said and done when the gateway is back", async ({
  page,
  gatewayProxy,
  stack,
}) => {
  await open(page, "/plain");
  await stack.pause("exporter");
  try {
    await mainButton(page).click();
    await expectPhase(page, "queued");
    await stack.kill("gateway");
    gatewayProxy.disconnect();
    await element(page).locator("[part=cancel]").click();
    await expect(mainButton(page)).toHaveAccessibleName("Canceling…");
    stack.launch("gateway");
    await expect(element(page).locator("[part=message]")).toHaveText("The export was canceled.");
  } finally {
    stack.resume("exporter");
  }
  await expect.poll(async () => (await newestExport(stack))?.status).toBe("canceled");
});

test("the dialog closes with its element, and opens again after a canceled export", async ({
  page,
  stack,
}) => {
  await open(page, "/orders");
  const dialog = element(page).getByRole("dialog");
  await mainButton(page).click();
  await expect(dialog).toBeVisible();
  await element(page).evaluate((found) => {
    const { parentNode } = found;
    found.remove();
    parentNode?.append(found);
  });
  await expect(dialog).toHaveCount(0);
  await expect(mainButton(page)).toHaveAttribute("aria-haspopup", "dialog");
  await stack.pause("exporter");
  try {
    await mainButton(page).click();
    await dialog.locator("[part=submit]").click();
    await expectPhase(page, "queued");
    await expect(mainButton(page)).not.toHaveAttribute("aria-haspopup");
    await element(page).locator("[part=cancel]").click();
    await expectPhase(page, "failed");
    await expect(mainButton(page)).toHaveAttribute("aria-haspopup", "dialog");
    await mainButton(page).click();
    await expect(dialog).toBeVisible();
  } finally {
    stack.resume("exporter");
  }
});

test("dataset-name stands for dataset, which frameworks may try to set as a property", async ({ page }) => {
  await open(page, "/plain");
  await element(page).evaluate((found) => {
    found.removeAttribute("dataset");
    Object.assign(found, { datasetName: "flights", columns: ["date"], filter: { origin: { eq: "SEA" } } });
  });
  const downloading = page.waitForEvent("download");
  await mainButton(page).click();
  expect(readCsv(await savedBytes(await downloading)).header).toEqual(["date"]);
});

/** Adds a condition in the dialog by the keyboard. */
async function addCondition(dialog: Locator, column: string, operator: string, value: string): Promise<void> {
  await dialog.locator("[part=add-condition]").press("Enter");
  const row = dialog.locator("[part=condition]").last();
  await row.getByRole("combobox").nth(0).selectOption(column);
  await row.getByRole("combobox").nth(1).selectOption(operator);
  await row.getByRole("textbox").fill(value);
}

for (const colorScheme of ["light", "dark"] as const) {
  test(`a server-rendered page opens a dialog in German, ${colorScheme}`, async ({ page, stack }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const faults = await open(page, "/orders");
    await page.evaluate((scheme) => {
      document.documentElement.style.colorScheme = scheme;
      document.body.style.background = "Canvas"; // axe takes a page without a background for white
    }, colorScheme);
    await expect(mainButton(page)).toHaveText("Exportieren");
    await mainButton(page).focus();
    await page.keyboard.press("Enter");
    const dialog = element(page).getByRole("dialog");
    await expect(dialog).toHaveAccessibleName(/Exportieren: /);
    await expect(dialog.locator("[part=estimate]")).toContainText("Zeilen");
    await expect(dialog).toContainText("Der Filter dieser Seite gilt zusätzlich.");
    await expectAccessible(page, "the dialog");
    await page.keyboard.press("Escape");
    await expect(dialog).toHaveCount(0);
    await expect(mainButton(page)).toBeFocused();

    await page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Keine" }).click();
    await dialog.getByRole("checkbox", { name: "origin" }).check();
    await dialog.getByRole("checkbox", { name: "delay" }).check();
    await dialog.getByRole("button", { name: "origin nach oben" }).press("Enter");
    await expect(dialog.getByRole("button", { name: "origin nach oben" })).toBeFocused();
    await addCondition(dialog, "delay", "gte", "x");
    await expect(dialog.getByRole("textbox")).toHaveAttribute("aria-invalid", "true");
    await expect(dialog.getByRole("textbox")).toBeFocused();
    await dialog.locator("[part=submit]").press("Enter");
    await expectPhase(page, "failed");
    await expect(dialog.locator("[part=submit]")).toHaveText("Exportieren");
    await expect(dialog.getByRole("textbox")).toHaveAttribute("aria-invalid", "true");
    await dialog.getByRole("textbox").fill("300");
    await expect(dialog.locator("[part=estimate]")).toContainText("Zeile");
    await expectAccessible(page, "the filled dialog");
    const downloading = page.waitForEvent("download");
    await dialog.locator("[part=submit]").press("Enter");
    await expect(dialog).toHaveCount(0);
    const { header, data } = readCsv(await savedBytes(await downloading));
    expect(header).toEqual(["origin", "delay"]);
    expect(data.every(([origin, delay]) => Number(delay) >= 300 && origin === "SFO")).toBe(true);
    expect(data.length).toBeGreaterThan(0);
    await expectPhase(page, "saved");
    await expect(mainButton(page)).toContainText("An Ihren Browser übergeben");
    expect(await stack.logs()).not.toContain("eyJ");
    expect(faults).toEqual([]);
  });
}

test("a fault of the setup is named to the page's owner, once, and without a token", async ({
  page,
  gatewayProxy,
  products,
}) => {
  const errors: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" && message.text().startsWith("<sluice-export>")) {
      errors.push(message.text());
    }
  });
  await open(page, "/plain");
  const message = element(page).locator("[part=message]");
  const answers: [string, number, string, RegExp, RegExp][] = [
    ["/sluice-token", 200, "<!doctype html>", /answer without access/, /token/],
    ["/sluice-token", 404, "{}", /could not get you access \(404\)/, /404/],
    ["/v1/exports", 404, "<!doctype html>", /set up wrongly \(base-url\)/, /base-url/],
    ["/v1/exports", 200, "<!doctype html>", /set up wrongly \(base-url\)/, /base-url/],
  ];
  for (const [path, status, body, text, report] of answers) {
    errors.length = 0;
    const url = new RegExp(`${path}$`);
    const headers = { "access-control-allow-origin": products.origin };
    await page.route(url, (route) => route.fulfill({ status, body, headers }));
    await mainButton(page).click();
    await expect(message).toHaveText(text);
    expect(errors).toEqual([expect.stringMatching(report)]);
    await page.unroute(url);
  }
  await element(page).evaluate((found) => found.setAttribute("dataset", "nothing"));
  await mainButton(page).click();
  await expect(message).toContainText("set up wrongly (dataset)");
  expect(errors.join()).not.toContain("eyJ");

  await page.goto(`${products.origin.replace("127.0.0.1", "localhost")}/plain`);
  await mainButton(page).click();
  await expect(message).toContainText("can't be reached");
  expect(errors.at(-1)).toContain("gateway.allowed_origins");
  expect(errors.at(-1)).toContain(gatewayProxy.url);
});

test("the texts follow the document's language, and the host's around a shadow root", async ({ page }) => {
  await open(page, "/plain");
  await expect(mainButton(page)).toHaveText("Export");
  await page.evaluate(() => {
    document.documentElement.lang = "de";
  });
  await expect(mainButton(page)).toHaveText("Exportieren");
  await page.evaluate(() => {
    const host = document.body.appendChild(document.createElement("div"));
    host.lang = "en";
    host.attachShadow({ mode: "open" }).append(document.createElement("sluice-export"));
  });
  const inner = page.locator("div sluice-export [part=button]");
  await expect(inner).toHaveText("Export");
  await page.evaluate(() => {
    Object.assign(document.documentElement, { lang: "ar", dir: "rtl" });
  });
  // a language without texts gets English ones, which keep their own direction
  const shipped = element(page).locator("slot > span");
  await expect(shipped).toHaveText("Export");
  await expect(shipped).toHaveAttribute("lang", "en");
  await expect(shipped).toHaveCSS("direction", "ltr");
  await expect(mainButton(page)).toHaveCSS("direction", "rtl");
});

test("a dialog on a small screen scrolls as a whole, and a missing value gets the focus", async ({
  page,
}) => {
  await page.setViewportSize({ width: 320, height: 256 });
  await open(page, "/orders");
  await element(page).evaluate((found: HTMLElement) => found.click());
  const dialog = element(page).getByRole("dialog");
  await expect(dialog.locator("[part=estimate]")).toContainText("Zeilen");
  await dialog.locator("[part=add-condition]").press("Enter");
  const value = dialog.locator("[part=condition] .values :is(input, select, textarea)").first();
  await expect(value).toBeVisible();
  const form = dialog.locator("form");
  const heights = await form.evaluate((found) => [found.clientHeight, found.scrollHeight]);
  expect(heights[0]).toBeLessThan(heights[1] ?? 0);
  await dialog.locator("[part=submit]").press("Enter");
  await expect(value).toBeFocused();
  await expect(value).toBeInViewport();
  await expect(value).toHaveAccessibleDescription("Geben Sie einen Wert ein.");
});

test("React has the ready button and a hook for its own", async ({ page, products, stack }) => {
  await products.buildReact();
  const faults = await open(page, "/react");
  await expect(mainButton(page)).toHaveAccessibleName("Flights from Seattle");
  await expectAccessible(page, "the React product");
  const ready = page.waitForEvent("download");
  await mainButton(page).click();
  const { header, rows } = readCsv(await savedBytes(await ready));
  expect(header).toEqual(["date", "origin", "delay"]);
  await expect(page.getByTestId("ready-saved")).toHaveText(`${rows} rows`);

  const own = page.waitForEvent("download");
  await page.getByRole("button", { name: "Flights from Portland" }).click();
  const portland = await own;
  await expect(page.getByTestId("own-state")).toContainText("saved");
  expect(await savedDigest(portland)).toBe(await newestDigest(stack));
  expect(faults).toEqual([]);
});
