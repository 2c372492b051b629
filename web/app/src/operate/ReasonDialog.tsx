import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { queryKeys } from "../live/queryCache.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";

/** The maximum length of a reason, in characters. */
const MAX_REASON = 500;

interface Props {
  /** What is done, as the title of the dialog. */
  title: string;
  /** What follows from it. */
  explain: string;
  /** The text of the button that does it. */
  submit: string;
  /** Does it. The dialog closes when it has succeeded. */
  onSubmit: (reason: string) => Promise<unknown>;
  onClose: () => void;
  /** Returns whether the further fields are filled in. */
  isValid?: () => boolean;
  /** Further fields, above the reason. */
  children?: ReactNode;
}

/** Asks an operator for the reason of an act, and does it. */
export function ReasonDialog({ title, explain, submit, onSubmit, onClose, isValid, children }: Props) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const [isMissing, setMissing] = useState(false);
  const act = useMutation({
    mutationFn: () => onSubmit(reason.trim()),
    onSuccess: onClose,
    onSettled: () => queries.invalidateQueries({ queryKey: queryKeys.operate }),
  });
  const text = strings.operate.reason;
  const send = (event: FormEvent) => {
    event.preventDefault();
    const complete = isValid?.() ?? true;
    setMissing(reason.trim() === "");
    if (complete && reason.trim() !== "") {
      act.mutate();
    }
  };
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ "aria-label": strings.dismiss }}>
      <form onSubmit={send} noValidate data-testid="reason-dialog">
        <Stack>
          <Text size="sm">{explain}</Text>
          {children}
          <Textarea
            label={text.label}
            description={text.hint}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            error={isMissing && reason.trim() === "" ? text.missing : undefined}
            maxLength={MAX_REASON}
            required
            autosize
            minRows={2}
            data-autofocus={children ? undefined : true}
            data-testid="reason"
          />
          {act.error && <ProblemAlert error={act.error} onClose={() => act.reset()} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {text.cancel}
            </Button>
            <Button type="submit" loading={act.isPending} data-testid="reason-submit">
              {submit}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
