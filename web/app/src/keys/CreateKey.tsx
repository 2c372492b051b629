import { Button, Group, NativeSelect, Paper, Stack, TagsInput, TextInput } from "@mantine/core";
import type { CreatedApiKey, FieldError } from "@sluice/client";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useLive } from "../live/LiveProvider.js";
import { useDatasets } from "../live/queries.js";
import { queryKeys } from "../live/queryCache.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { expiryOf, LIFETIMES, type Lifetime } from "./lifetime.js";

/** Form for a new API key. */
export function CreateKey({ onCreated }: { onCreated: (created: CreatedApiKey) => void }) {
  const { client } = useLive();
  const queries = useQueryClient();
  const datasets = useDatasets();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>([]);
  const [lifetime, setLifetime] = useState<Lifetime>("90");
  const create = useMutation({
    mutationFn: () => client.keys.create({ name, scopes, expires_at: expiryOf(lifetime, new Date()) }),
    gcTime: 0, // the result contains the secret
    onSuccess: (created) => {
      void queries.invalidateQueries({ queryKey: queryKeys.keys });
      onCreated(created);
    },
  });
  const text = strings.keys;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!create.isPending) {
      create.mutate();
    }
  };
  const known = ["export:*", ...(datasets.data ?? []).map((dataset) => `export:${dataset.name}`)];
  return (
    <Paper withBorder radius="md" p="sm" component="form" onSubmit={submit} data-testid="key-form">
      <Stack gap="xs">
        <TextInput
          label={text.name}
          description={text.nameHint}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          required
          maxLength={100}
          data-testid="key-name"
        />
        <TagsInput
          label={text.scopes}
          description={text.scopesHint}
          data={known}
          value={scopes}
          onChange={setScopes}
          splitChars={[",", " "]}
          acceptValueOnBlur
          clearable={false}
          data-testid="key-scopes"
        />
        <Group align="flex-end" justify="space-between">
          <NativeSelect
            label={text.lifetime}
            data={LIFETIMES.map((value) => ({ value, label: text.lifetimes[value] }))}
            value={lifetime}
            onChange={(event) => setLifetime(event.currentTarget.value as Lifetime)}
            data-testid="key-lifetime"
          />
          <Button
            type="submit"
            loading={create.isPending}
            disabled={!name.trim() || scopes.length === 0}
            data-testid="key-create"
          >
            {text.create}
          </Button>
        </Group>
        {create.error && (
          <ProblemAlert error={create.error} onClose={() => create.reset()} label={fieldLabel} />
        )}
      </Stack>
    </Paper>
  );
}

/** Returns the label of the form field with a fault. */
function fieldLabel({ pointer }: FieldError): string | undefined {
  const { name, scopes, lifetime } = strings.keys;
  const labels: Record<string, string> = { name, scopes, expires_at: lifetime };
  return labels[pointer.split("/")[1] ?? ""];
}
