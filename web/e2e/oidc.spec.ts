import { expect } from "@playwright/test";
import { type MutableToken, OAuth2Server } from "oauth2-mock-server";
import { Stack } from "../stack/stack.js";
import { onStack } from "./onStack.js";
import { expectLive } from "./page.js";

/** An issuer that signs everybody in as dora, and a Sluice that believes it. */
const issuer = new OAuth2Server();
const test = onStack(async () => {
  await issuer.issuer.keys.generate("RS256");
  await issuer.start(0, "127.0.0.1");
  issuer.service.on("beforeTokenSigning", (token: MutableToken) => {
    Object.assign(token.payload, { sub: "dora", aud: "sluice", tenant: "initech", scope: "export:*" });
  });
  const url = issuer.issuer.url ?? "";
  return Stack.start({
    name: "the stack with an issuer",
    env: {
      SLUICE_GATEWAY__IDENTITY__ISSUER: url,
      SLUICE_GATEWAY__IDENTITY__JWKS_URL: `${url}/jwks`,
      SLUICE_GATEWAY__IDENTITY__OIDC__AUTHORITY: url,
      SLUICE_GATEWAY__IDENTITY__OIDC__CLIENT_ID: "sluice-page",
    },
    issuer: url,
  });
});
test.afterAll(() => issuer.stop());

test("a person signs in at the issuer, by a code with PKCE, and comes back to where they wanted to be", async ({
  page,
  stack,
}) => {
  const asked: URL[] = [];
  page.on("request", (request) => {
    if (request.url().startsWith(`${issuer.issuer.url}/authorize`)) {
      asked.push(new URL(request.url()));
    }
  });
  await page.goto("/history");
  await page.getByTestId("sign-in-issuer").click();
  await expectLive(page);
  await expect(page).toHaveURL(`${stack.url}/history`);
  expect(Object.fromEntries(asked[0]?.searchParams ?? [])).toMatchObject({
    response_type: "code",
    code_challenge_method: "S256",
    client_id: "sluice-page",
  });
  await page.getByTestId("account-menu").click();
  await expect(page.getByText("dora · initech")).toBeVisible();
  await page.keyboard.press("Escape");
  await page.goto("/datasets/muscles");
  const downloading = page.waitForEvent("download");
  await page.getByTestId("export-button").click();
  await downloading;
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain("eyJ");
});

test("an answer that the issuer did not give to this tab is refused with a sentence", async ({ page }) => {
  await page.goto("/signed-in?code=forged&state=forged");
  const problem = page.getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "unauthorized");
  await expect(page.getByTestId("sign-in-issuer")).toBeVisible();
});
