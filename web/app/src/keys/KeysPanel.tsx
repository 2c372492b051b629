import { Drawer, Stack, Text } from "@mantine/core";
import { type CreatedApiKey, SluiceError } from "@sluice/client";
import { useState } from "react";
import { useKeys } from "../live/queries.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { CreateKey } from "./CreateKey.js";
import { KeyList } from "./KeyList.js";
import { NewKey } from "./NewKey.js";

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Panel with the API keys of the tenant: create, copy once, list, delete. */
export function KeysPanel({ opened, onClose }: Props) {
  const text = strings.keys;
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="lg"
      title={text.title}
      closeButtonProps={{ "aria-label": strings.dismiss }}
    >
      {opened && <Keys />}
    </Drawer>
  );
}

/** Its state ends when the panel closes, and with it the secret of a new key. */
function Keys() {
  const keys = useKeys();
  const [created, setCreated] = useState<CreatedApiKey>();
  const text = strings.keys;
  if (keys.error && SluiceError.from(keys.error).slug === "forbidden") {
    return <Text data-testid="keys-forbidden">{text.forbidden}</Text>;
  }
  return (
    <Stack data-testid="keys-panel">
      <Text size="sm" c="dimmed">
        {text.explain}
      </Text>
      {created ? (
        <NewKey created={created} onDone={() => setCreated(undefined)} />
      ) : (
        <CreateKey onCreated={setCreated} />
      )}
      <QueryStatus query={keys} height={90} />
      {keys.data && <KeyList keys={keys.data} />}
    </Stack>
  );
}
