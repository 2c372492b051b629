import { expect, type Page } from "@playwright/test";
import {
  type MutableResponse,
  type MutableToken,
  OAuth2Server,
  type TokenRequestIncomingMessage,
} from "oauth2-mock-server";
import { Stack } from "../stack/stack.js";
import { expectLive } from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

/** An issuer that signs every user in as dora, and a Sluice that trusts it. */
const issuer = new OAuth2Server();
let tokenCount = 0;
const test = testWithStack(async () => {
  await issuer.issuer.keys.generate("RS256");
  await issuer.start(0, "127.0.0.1");
  issuer.service.on("beforeTokenSigning", (token: MutableToken) => {
    tokenCount += 1; // tokens differ even within one second
    const jti = String(tokenCount);
    Object.assign(token.payload, { jti, sub: "dora", aud: "sluice", tenant: "initech", scope: "export:*" });
  });
  const url = issuer.issuer.url ?? "";
  return Stack.start({
    name: "issuer stack",
    env: {
      SLUICE_GATEWAY__IDENTITY__ISSUER: url,
      SLUICE_GATEWAY__IDENTITY__JWKS_URL: `${url}/jwks`,
      SLUICE_GATEWAY__IDENTITY__OIDC__AUTHORITY: url,
      SLUICE_GATEWAY__IDENTITY__OIDC__CLIENT_ID: "sluice-page",
      SLUICE_GATEWAY__IDENTITY__OIDC__EXTRA_REQUEST_PARAMETERS: '{audience = "https://exports.example.com"}',
      SLUICE_GATEWAY__IDENTITY__OIDC__CSP_CONNECT_SRC: '["https://tokens.example.com"]',
    },
    issuer: url,
  });
});
test.afterAll(() => issuer.stop());

async function signInAtIssuer(page: Page): Promise<void> {
  await page.goto("/");
  await page.getByTestId("sign-in-issuer").click();
  await expectLive(page);
}

/** Opens the page again and answers its first request for the credits as if the token had expired. */
async function reopenWithExpiredToken(page: Page): Promise<void> {
  await page.goto("about:blank"); // a pending request of the previous page must not take that answer
  const body = JSON.stringify({ type: "/problems/unauthorized", title: "ended", status: 401 });
  const answer = { status: 401, contentType: "application/problem+json", body };
  await page.route("**/v1/credits", (route) => route.fulfill(answer), { times: 1 });
  await page.goto("/"); // requests the credits, and therefore a newer token
}

test("a user signs in at the issuer with a code and PKCE, and returns to the requested page", async ({
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

test("the issuer gets its additional parameters, and the page may connect to all of its origins", async ({
  page,
}) => {
  const audiences: (string | null | undefined)[] = [];
  page.on("request", (request) => {
    if (request.url().startsWith(`${issuer.issuer.url}/authorize`)) {
      audiences.push(new URL(request.url()).searchParams.get("audience"));
    } else if (request.url().startsWith(`${issuer.issuer.url}/token`)) {
      audiences.push(new URLSearchParams(request.postData() ?? "").get("audience"));
    }
  });
  const served = await page.goto("/");
  const policy = (await served?.allHeaders())?.["content-security-policy"];
  expect(policy).toContain(`connect-src 'self' ${issuer.issuer.url} https://tokens.example.com`);
  await page.getByTestId("sign-in-issuer").click();
  await expectLive(page);
  expect(audiences).toEqual(["https://exports.example.com", "https://exports.example.com"]);
  await reopenWithExpiredToken(page);
  await expect.poll(() => audiences.length).toBe(3);
  expect(audiences[2]).toBe("https://exports.example.com");
});

test("a forged answer of the issuer is rejected with a sentence", async ({ page }) => {
  await page.goto("/signed-in?code=forged&state=forged");
  const problem = page.getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "unauthorized");
  await expect(page.getByTestId("sign-in-issuer")).toBeVisible();
});

test("a session that the issuer refreshes continues, and one that it ends says so", async ({ page }) => {
  await signInAtIssuer(page);
  let refused = false;
  let asked = 0;
  const answer = (response: MutableResponse, request: TokenRequestIncomingMessage) => {
    if (request.body.grant_type === "refresh_token") {
      asked += 1;
      if (refused) {
        response.statusCode = 400;
        response.body = { error: "invalid_grant", error_description: "the session has ended" };
      }
    }
  };
  issuer.service.on("beforeResponse", answer);
  await reopenWithExpiredToken(page);
  await expect.poll(() => asked).toBe(1);
  await expectLive(page);
  await expect(page.getByTestId("credit-balance")).toBeVisible();

  refused = true;
  await reopenWithExpiredToken(page);
  await expect(page.getByTestId("sign-in-issuer")).toBeVisible();
  await expect(page.getByText("Your session has ended.")).toBeVisible();
  issuer.service.off("beforeResponse", answer);
});

test("signing out ends the session at the issuer too, and no address holds a token", async ({
  page,
  stack,
}) => {
  await signInAtIssuer(page);
  const left = page.waitForRequest(`${issuer.issuer.url}/endsession**`);
  await page.getByTestId("account-menu").click();
  await page.getByTestId("sign-out").click();
  const asked = new URL((await left).url()).searchParams;
  expect(Object.fromEntries(asked)).toEqual({
    client_id: "sluice-page",
    post_logout_redirect_uri: stack.url,
  });
  await expect(page.getByTestId("sign-in-issuer")).toBeVisible();
  expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual([]);
});
