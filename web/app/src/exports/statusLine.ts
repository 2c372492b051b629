import { hasEnded } from "@sluice/client";
import type { MeasuredExport } from "../live/mergeExport.js";
import { strings } from "../strings.js";

/**
 * Returns the known numbers of an export in one line: rows, bytes, throughput, time left, or queue position. An export
 * that waits for a part of the installation, or for an operator, says so first.
 */
export function statusLine(item: MeasuredExport): string {
  const text = strings.exports;
  const { rows, rows_total, bytes, queue_position, eta_ms, waiting_for } = item.progress;
  if (item.status === "completed" && item.file) {
    return join([text.rowsOf(item.file.rows, null), text.bytes(item.file.size)]);
  }
  if (hasEnded(item.status)) {
    return text.ended[item.status] ?? "";
  }
  const eta = eta_ms == null ? undefined : text.eta(eta_ms);
  if (item.status !== "running" && waiting_for != null) {
    return text.waitingFor[waiting_for];
  }
  if (item.status !== "running") {
    return join([queue_position == null ? text.preparing : text.queued(queue_position), eta]);
  }
  if (waiting_for != null) {
    return join([text.waitingFor[waiting_for], text.rowsOf(rows, rows_total ?? null), text.bytes(bytes)]);
  }
  return join([
    text.rowsOf(rows, rows_total ?? null),
    text.bytes(bytes),
    item.throughput?.bytesPerSecond ? text.rate(item.throughput.bytesPerSecond) : undefined,
    eta,
  ]);
}

function join(parts: (string | undefined)[]): string {
  return parts.filter((part) => part).join(" · ");
}
