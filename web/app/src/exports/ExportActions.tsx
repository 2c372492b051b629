import { Button, Group } from "@mantine/core";
import { type Export, hasEnded } from "@sluice/client";
import { IconDeviceFloppy, IconPlayerPlay, IconRefresh, IconX } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { requestOf } from "../form/request.js";
import { useLive } from "../live/LiveProvider.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { canChooseFile } from "../saving/browserSupport.js";
import type { SaveState } from "../saving/fileSaver.js";
import { chooseFile, loadSaveLocation } from "../saving/saveLocation.js";
import { strings } from "../strings.js";
import { useStartExport } from "./useStartExport.js";

/** What can be done with an export just now: cancel it, save its file, go on with one, or make it again. */
export function ExportActions({ item, saving }: { item: Export; saving: SaveState | undefined }) {
  const { client, saver } = useLive();
  const text = strings.exports;
  const cancel = useMutation({ mutationFn: () => client.exports.cancel(item.id) });
  const again = useStartExport();
  const save = useMutation({
    mutationFn: async () => {
      const place =
        loadSaveLocation() === "file" && canChooseFile(window)
          ? await chooseFile(item.file?.name ?? `${item.dataset}.${item.format}`)
          : { kind: "downloads" as const, size: item.file?.size };
      if (place) {
        await saver.save(item, place);
      }
    },
  });
  const ended = hasEnded(item.status);
  const completed = item.status === "completed";
  const canceling = cancel.isPending || cancel.isSuccess;
  const buttons = useRef<HTMLDivElement>(null);
  const held = useRef(false);
  useEffect(() => {
    if (ended && held.current) {
      held.current = false;
      buttons.current?.querySelector("button")?.focus(); // the button that was pressed is gone
    }
  }, [ended]);
  const error = cancel.error ?? again.error ?? save.error;
  return (
    <>
      <Group gap="xs" ref={buttons}>
        {saving?.phase === "paused" && (
          <Button
            size="xs"
            leftSection={<IconPlayerPlay size={14} aria-hidden />}
            onClick={() => void saver.continue(item.id)}
            data-testid="continue-button"
          >
            {text.continue}
          </Button>
        )}
        {completed && (
          <Button
            size="xs"
            variant={saving ? "default" : "light"}
            leftSection={<IconDeviceFloppy size={16} aria-hidden />}
            loading={saving?.phase === "receiving" && saving.state === "receiving"}
            disabled={saving?.phase === "receiving"}
            onClick={() => save.mutate()}
            data-testid="save-button"
          >
            {saving?.phase === "saved" ? text.saveAgain : text.save}
          </Button>
        )}
        {completed && saving?.phase === "receiving" && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconX size={14} aria-hidden />}
            onClick={() => saver.stop(item.id)}
            data-testid="stop-button"
          >
            {text.stop}
          </Button>
        )}
        {!ended && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconX size={14} aria-hidden />}
            // a disabled button would drop the focus
            aria-disabled={canceling}
            data-disabled={canceling || undefined}
            onClick={() => {
              if (!canceling) {
                cancel.mutate();
              }
            }}
            onFocus={() => {
              held.current = true;
            }}
            onBlur={(event) => {
              held.current = !event.currentTarget.isConnected;
            }}
            data-testid="cancel-button"
          >
            {canceling ? text.canceling : text.cancel}
          </Button>
        )}
        {ended && !completed && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconRefresh size={14} aria-hidden />}
            loading={again.isPending}
            onClick={() => again.mutate({ request: requestOf(item) })}
            data-testid="again-button"
          >
            {text.again}
          </Button>
        )}
      </Group>
      {saving?.phase === "failed" && <ProblemAlert error={saving.error} onRetry={() => save.mutate()} />}
      {error && (
        <ProblemAlert
          error={error}
          onClose={() => {
            cancel.reset();
            again.reset();
            save.reset();
          }}
        />
      )}
    </>
  );
}
