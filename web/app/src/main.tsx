import "@mantine/core/styles.css";
import { MantineProvider } from "@mantine/core";
import { SluiceError } from "@sluice/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { Guard } from "./problems/Guard.js";
import { theme, variables } from "./theme.js";

const queries = new QueryClient({
  defaultOptions: {
    // without a network a click is told at once, and nothing is asked for, or paid for, behind the person's back later
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      refetchOnReconnect: true,
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
        <Guard>
          <App />
        </Guard>
      </MantineProvider>
    </QueryClientProvider>
  </StrictMode>,
);
