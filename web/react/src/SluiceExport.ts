import type { Filter, TokenProvider } from "@sluice/client";
import type { EventMap, SluiceExportElement, StringOverrides } from "@sluice/element";
import "@sluice/element";
import { createElement, forwardRef, type ReactNode, useEffect, useImperativeHandle, useRef } from "react";

/** Properties of {@link SluiceExport}. */
export interface SluiceExportProps {
  /** Name of the dataset. */
  dataset: string;
  /** Address of the gateway, such as `https://exports.example.com`. */
  baseUrl: string;
  /** Returns the token of the current user, or a newer one when a refresh is asked for. */
  tokenProvider: TokenProvider;
  filter?: Filter;
  columns?: readonly string[];
  params?: Record<string, unknown>;
  /** The format of the file, such as `xlsx`. Default `csv`. */
  format?: string;
  template?: string;
  compression?: string;
  /** The time zone of moments relative to now in the filter, such as `Europe/Berlin`. */
  timeZone?: string;
  /** Whether pressing the button opens a dialog with filter, columns, format and estimate. */
  dialog?: boolean;
  disabled?: boolean;
  /** Language of the texts. Default: that of the nearest element with `lang`. */
  lang?: string;
  /** Texts that replace the shipped ones. */
  strings?: StringOverrides;
  /** Label of the button. Default: "Export" in the language of the page. */
  children?: ReactNode;
  className?: string;
  id?: string;
  onStarted?: (detail: EventMap["sluice-started"]) => void;
  onProgress?: (detail: EventMap["sluice-progress"]) => void;
  onCompleted?: (detail: EventMap["sluice-completed"]) => void;
  onFailed?: (detail: EventMap["sluice-failed"]) => void;
}

/**
 * `<sluice-export>` with typed properties and events, for React 18 and newer, also on a server. Its `ref` is the element,
 * with the methods `start`, `showDialog`, `cancel` and `reset`.
 */
export const SluiceExport = forwardRef<SluiceExportElement, SluiceExportProps>((props, ref) => {
  const { dataset, baseUrl, format, template, compression, timeZone, dialog, disabled, lang } = props;
  const { children, className, id } = props;
  const element = useRef<SluiceExportElement>(null);
  const latest = useRef(props);
  useImperativeHandle(ref, () => element.current as SluiceExportElement, []);

  useEffect(() => {
    latest.current = props;
    const target = element.current;
    if (target) {
      const { baseUrl, tokenProvider, filter = null, columns = null, params = null, strings = {} } = props;
      Object.assign(target, { baseUrl, tokenProvider, filter, columns, params, strings });
    }
  });

  useEffect(() => {
    const target = element.current;
    const stop = new AbortController();
    const { signal } = stop;
    target?.addEventListener("sluice-started", (e) => latest.current.onStarted?.(e.detail), { signal });
    target?.addEventListener("sluice-progress", (e) => latest.current.onProgress?.(e.detail), { signal });
    target?.addEventListener("sluice-completed", (e) => latest.current.onCompleted?.(e.detail), { signal });
    target?.addEventListener("sluice-failed", (e) => latest.current.onFailed?.(e.detail), { signal });
    return () => stop.abort();
  }, []);

  // attributes only, which React 18 and a server can write; what has no attribute is set after the rendering
  return createElement(
    "sluice-export",
    {
      ref: element,
      dataset,
      "base-url": baseUrl,
      format,
      template,
      compression,
      "time-zone": timeZone,
      dialog: dialog || undefined,
      disabled: disabled || undefined,
      lang,
      class: className,
      id,
    },
    children,
  );
});
SluiceExport.displayName = "SluiceExport";
