import "@mantine/core/styles.css";
import { MantineProvider } from "@mantine/core";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { takeSignInLink } from "./auth/browserKey.js";
import { ErrorBoundary } from "./problems/ErrorBoundary.js";
import { theme, variables } from "./theme.js";

const root = document.getElementById("root");
if (!root) {
  throw new Error("the page has no root element");
}
takeSignInLink();
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
      <ErrorBoundary>
        <App />
      </ErrorBoundary>
    </MantineProvider>
  </StrictMode>,
);
