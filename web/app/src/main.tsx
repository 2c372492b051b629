import "@mantine/core/styles.css";
import { MantineProvider } from "@mantine/core";
import { SluiceError } from "@sluice/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { theme, variables } from "./theme.js";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      retry: (count, error) => {
        const { slug } = SluiceError.from(error);
        return count < 2 && (slug === "network" || slug === "unavailable" || slug === "timeout");
      },
    },
  },
});

const root = document.getElementById("root");
if (!root) {
  throw new Error("the page has no root element");
}
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
        <App />
      </MantineProvider>
    </QueryClientProvider>
  </StrictMode>,
);
