import { Badge, Button, Group, Paper, Stack, Text } from "@mantine/core";
import type { ApiKey } from "@sluice/client";
import { IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";

/** The keys of the tenant, newest first. */
export function KeyList({ keys }: { keys: readonly ApiKey[] }) {
  const text = strings.keys;
  if (keys.length === 0) {
    return <Text size="sm">{text.empty}</Text>;
  }
  return (
    <Stack gap="xs" component="ul" p={0} m={0} style={{ listStyle: "none" }} aria-label={text.title}>
      {keys.map((key) => (
        <KeyRow key={key.id} item={key} />
      ))}
    </Stack>
  );
}

function KeyRow({ item }: { item: ApiKey }) {
  const { client } = useLive();
  const queries = useQueryClient();
  const [confirming, setConfirming] = useState(false);
  const remove = useMutation({
    mutationFn: () => client.keys.delete(item.id),
    onSettled: () => queries.invalidateQueries({ queryKey: queryKeys.keys }),
  });
  const text = strings.keys;
  return (
    <Paper component="li" withBorder radius="md" p="sm" data-testid="key-row" data-key={item.id}>
      <Stack gap={6}>
        <Group justify="space-between" wrap="nowrap" align="flex-start">
          <Text fw={600} style={{ overflowWrap: "anywhere" }}>
            {item.name}
          </Text>
          {!confirming && (
            <Button
              size="xs"
              variant="default"
              leftSection={<IconTrash size={14} aria-hidden />}
              onClick={() => setConfirming(true)}
              aria-label={text.deleteNamed(item.name)}
              data-testid="key-delete"
            >
              {text.delete}
            </Button>
          )}
        </Group>
        <Group gap={4}>
          {item.scopes.map((scope) => (
            <Badge key={scope} variant="light" tt="none">
              {scope}
            </Badge>
          ))}
        </Group>
        <Text size="xs" c="dimmed">
          {text.facts(item)}
        </Text>
        {confirming && (
          <Stack gap={6} role="group" aria-label={text.deleteNamed(item.name)}>
            <Text size="sm">{text.confirm}</Text>
            <Group gap="xs">
              <Button
                size="xs"
                color="red"
                autoFocus
                loading={remove.isPending}
                onClick={() => remove.mutate()}
                data-testid="key-delete-confirm"
              >
                {text.confirmDelete}
              </Button>
              <Button size="xs" variant="default" onClick={() => setConfirming(false)}>
                {text.keep}
              </Button>
            </Group>
          </Stack>
        )}
        {remove.error && <ProblemAlert error={remove.error} onClose={() => remove.reset()} />}
      </Stack>
    </Paper>
  );
}
