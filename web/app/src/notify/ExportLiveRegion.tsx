import { VisuallyHidden } from "@mantine/core";
import { type Export, hasEnded } from "@sluice/client";
import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import { usePageName } from "../layout/PageTitle.js";
import { useLive } from "../live/LiveProvider.js";
import { useExports } from "../live/queries.js";
import { strings } from "../strings.js";
import { notifyExportEnd, onNotificationClick } from "./notifications.js";

/**
 * Reports the end of exports: in an ARIA live region, in the window's title, and as a notification while the page is in
 * the background.
 */
export function ExportLiveRegion() {
  const { client } = useLive();
  const [, navigate] = useLocation();
  const [announcement, setAnnouncement] = useState("");
  const name = usePageName();
  const exports = useExports();
  const items = exports.data?.pages.flatMap((page) => page.items) ?? [];
  const running = items.filter((item) => !hasEnded(item.status));

  useEffect(() => {
    const announce = ({ export: item }: { export: Export }) => {
      setAnnouncement(strings.notify.liveRegion(item));
      notifyExportEnd(item, navigate);
    };
    const subscriptions = [
      client.on("export.completed", announce),
      client.on("export.failed", announce),
      client.on("export.canceled", announce),
      onNotificationClick(navigate),
    ];
    return () => {
      for (const unsubscribe of subscriptions) {
        unsubscribe();
      }
    };
  }, [client, navigate]);

  const done = running.reduce((sum, { progress }) => sum + part(progress.rows, progress.rows_total), 0);
  const title = strings.notify.pageTitle(
    name,
    running.length,
    running.length > 0 ? done / running.length : 0,
  );
  useEffect(() => {
    document.title = title;
  }, [title]);

  return (
    <VisuallyHidden role="status" aria-live="polite" data-testid="live-region">
      {announcement}
    </VisuallyHidden>
  );
}

function part(rows: number, total: number | null | undefined): number {
  return total ? Math.min(1, rows / total) : 0;
}
