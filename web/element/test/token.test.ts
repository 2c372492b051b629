import { describe, expect, it, vi } from "vitest";
import { type PageContext, type TokenSource, tokenOf } from "../src/token.js";

const ask = { refresh: false };
const gateway = "https://exports.example.com/";
const nothing: TokenSource = {
  tokenProvider: undefined,
  token: undefined,
  tokenUrl: undefined,
  baseUrl: gateway,
};

function page(answer: unknown = { token: "fetched" }, status = 200) {
  const requests: [string, RequestInit | undefined][] = [];
  const context: PageContext = {
    origin: "https://shop.example.org",
    documentBase: "https://shop.example.org/orders",
    scriptBase: gateway,
    fetch: vi.fn(async (url: URL | RequestInfo, init?: RequestInit) => {
      requests.push([String(url), init]);
      return new Response(JSON.stringify(answer), { status });
    }),
  };
  return { context, requests };
}

describe("the token", () => {
  it("comes from the provider, then from the property", async () => {
    const { context, requests } = page();
    const tokenProvider = async ({ refresh }: { refresh: boolean }) => (refresh ? "newer" : "provided");
    expect(await tokenOf({ ...nothing, tokenProvider, token: "kept" }, ask, context)).toBe("provided");
    expect(await tokenOf({ ...nothing, tokenProvider }, { refresh: true }, context)).toBe("newer");
    expect(await tokenOf({ ...nothing, token: "kept", tokenUrl: "/token" }, ask, context)).toBe("kept");
    expect(requests).toEqual([]);
    await expect(tokenOf(nothing, ask, context)).rejects.toMatchObject({ slug: "unauthorized", status: 0 });
  });

  it("is posted for at the page's own server, with its cookies", async () => {
    const { context, requests } = page();
    expect(await tokenOf({ ...nothing, tokenUrl: "/token" }, ask, context)).toBe("fetched");
    expect(requests).toHaveLength(1);
    expect(requests[0]?.[0]).toBe("https://shop.example.org/token");
    expect(requests[0]?.[1]).toMatchObject({ method: "POST", credentials: "same-origin", redirect: "error" });
  });

  it("never comes from another origin", async () => {
    const { context, requests } = page();
    const source = { ...nothing, tokenUrl: "https://elsewhere.example/token" };
    await expect(tokenOf(source, ask, context)).rejects.toMatchObject({ slug: "unauthorized" });
    expect(requests).toEqual([]);
  });

  it("is not asked for at the origin of a base element", async () => {
    const { context, requests } = page();
    const moved = { ...context, documentBase: "https://evil.example/" };
    const refused = tokenOf({ ...nothing, tokenUrl: "/token" }, ask, moved);
    await expect(refused).rejects.toMatchObject({ reason: "refused" });
    expect(requests).toEqual([]);
  });

  it("of a function that does not answer is given up after thirty seconds", async () => {
    vi.useFakeTimers();
    try {
      const hanging = tokenOf(
        { ...nothing, tokenProvider: () => new Promise(() => {}) },
        ask,
        page().context,
      );
      const refused = expect(hanging).rejects.toMatchObject({ slug: "timeout", reason: "timeout" });
      await vi.advanceTimersByTimeAsync(30_000);
      await refused;
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("of a function that fails or returns nothing says so", async () => {
    const failing = () => Promise.reject(new Error("offline"));
    const nothingGiven = () => undefined as unknown as string;
    for (const [tokenProvider, reason] of [
      [failing, "provider"],
      [nothingGiven, "answer"],
    ] as const) {
      const refused = tokenOf({ ...nothing, tokenProvider }, ask, page().context);
      await expect(refused).rejects.toMatchObject({ reason });
    }
  });

  it("of token-url goes to no other gateway than the script's own", async () => {
    const { context, requests } = page();
    for (const baseUrl of ["https://evil.example/", "https://exports.example.com.evil.example/"]) {
      const refused = tokenOf({ ...nothing, tokenUrl: "/token", baseUrl }, ask, context);
      await expect(refused).rejects.toMatchObject({ slug: "unauthorized" });
    }
    const bundled = { ...context, scriptBase: undefined };
    await expect(tokenOf({ ...nothing, tokenUrl: "/token" }, ask, bundled)).rejects.toThrow();
    expect(requests).toEqual([]);
    const same = { ...nothing, tokenUrl: "/token", baseUrl: "https://exports.example.com" };
    expect(await tokenOf(same, ask, context)).toBe("fetched");
  });

  it("is missing when the server refuses or answers something else", async () => {
    const source = { ...nothing, tokenUrl: "/token" };
    const refused = tokenOf(source, ask, page({}, 401).context);
    await expect(refused).rejects.toMatchObject({ slug: "unauthorized", status: 401, reason: "endpoint" });
    const missing = tokenOf(source, ask, page({}, 404).context);
    await expect(missing).rejects.toMatchObject({ slug: "unauthorized", status: 404, reason: "endpoint" });
    for (const answer of [{}, { token: 1 }, "token", null]) {
      await expect(tokenOf(source, ask, page(answer).context)).rejects.toMatchObject({
        slug: "unauthorized",
      });
    }
  });
});
