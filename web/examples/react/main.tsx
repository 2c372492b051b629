import { SluiceExport, useExport } from "@sluice/react";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const baseUrl = "https://exports.example.com";

/** Asks the product's own server for the token of the signed-in user. */
async function tokenProvider(): Promise<string> {
  const response = await fetch("/sluice-token", { method: "POST" });
  return ((await response.json()) as { token: string }).token;
}

/** The button of Sluice with React's properties and events. */
function ReadyButton() {
  const [saved, setSaved] = useState("");
  return (
    <section aria-labelledby="ready">
      <h2 id="ready">The ready button</h2>
      <SluiceExport
        dataset="flights"
        baseUrl={baseUrl}
        tokenProvider={tokenProvider}
        filter={{ origin: { eq: "SEA" } }}
        columns={["date", "origin", "delay"]}
        onCompleted={({ file }) => setSaved(`${file.rows} rows`)}
      >
        Flights from Seattle
      </SluiceExport>
      <p data-testid="ready-saved">{saved}</p>
    </section>
  );
}

/** A button of the product's own design. */
function OwnButton() {
  const flights = useExport({ baseUrl, tokenProvider });
  return (
    <section aria-labelledby="own">
      <h2 id="own">A button of our own</h2>
      <button
        type="button"
        disabled={flights.busy}
        onClick={() => flights.start({ dataset: "flights", filter: { origin: { eq: "PDX" } } })}
      >
        Flights from Portland
      </button>
      <p data-testid="own-state" role="status">
        {flights.phase} {flights.file?.rows}
      </p>
    </section>
  );
}

createRoot(document.getElementById("root") ?? document.body).render(
  <main>
    <h1>Flights</h1>
    <ReadyButton />
    <OwnButton />
  </main>,
);
