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

/** Buttons for an export: cancel, save its file, resume, or export again. */
export function ExportActions({ item, saveState }: { item: Export; saveState: SaveState | undefined }) {
  const { client, saver } = useLive();
  const text = strings.exports;
  const cancel = useMutation({ mutationFn: () => client.exports.cancel(item.id) });
  const repeat = useStartExport();
  const save = useMutation({
    mutationFn: async () => {
      const location =
        loadSaveLocation() === "file" && canChooseFile(window)
          ? await chooseFile(item.file?.name ?? `${item.dataset}.${item.format}`)
          : { kind: "downloads" as const, size: item.file?.size };
      if (location) {
        await saver.save(item, location);
      }
    },
  });
  const ended = hasEnded(item.status);
  const completed = item.status === "completed";
  const canceling = cancel.isPending || cancel.isSuccess;
  const buttons = useRef<HTMLDivElement>(null);
  const cancelHadFocus = useRef(false);
  useEffect(() => {
    if (ended && cancelHadFocus.current) {
      cancelHadFocus.current = false;
      buttons.current?.querySelector("button")?.focus(); // the pressed button was removed
    }
  }, [ended]);
  const error = cancel.error ?? repeat.error ?? save.error;
  return (
    <>
      <Group gap="xs" ref={buttons}>
        {saveState?.phase === "paused" && (
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
            variant={saveState ? "default" : "light"}
            leftSection={<IconDeviceFloppy size={16} aria-hidden />}
            loading={saveState?.phase === "receiving" && saveState.state === "receiving"}
            disabled={saveState?.phase === "receiving"}
            onClick={() => save.mutate()}
            data-testid="save-button"
          >
            {saveState?.phase === "saved" ? text.saveAgain : text.save}
          </Button>
        )}
        {completed && saveState?.phase === "receiving" && (
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
            // a disabled button would lose the focus
            aria-disabled={canceling}
            data-disabled={canceling || undefined}
            onClick={() => {
              if (!canceling) {
                cancel.mutate();
              }
            }}
            onFocus={() => {
              cancelHadFocus.current = true;
            }}
            onBlur={(event) => {
              cancelHadFocus.current = !event.currentTarget.isConnected;
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
            loading={repeat.isPending}
            onClick={() => repeat.mutate({ request: requestOf(item) })}
            data-testid="repeat-button"
          >
            {text.again}
          </Button>
        )}
      </Group>
      {saveState?.phase === "failed" && (
        <ProblemAlert error={saveState.error} onRetry={() => save.mutate()} />
      )}
      {error && (
        <ProblemAlert
          error={error}
          onClose={() => {
            cancel.reset();
            repeat.reset();
            save.reset();
          }}
        />
      )}
    </>
  );
}
