/** React for Sluice: a hook for a button of your own, and the export button as a component. */
export type { ExportRequest, Filter, SluiceError, TokenProvider } from "@sluice/client";
export type { RunPhase, RunState } from "@sluice/client/browser";
export type { EventMap, SluiceExportElement, StringOverrides } from "@sluice/element";
export { SluiceExport, type SluiceExportProps } from "./SluiceExport.js";
export { type ExportControls, type UseExportOptions, useExport } from "./useExport.js";
