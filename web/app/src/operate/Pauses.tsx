import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import type { Pause } from "@sluice/client";
import { IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react";
import { useState } from "react";
import { useLive } from "../live/LiveProvider.js";
import { strings } from "../strings.js";
import { ReasonDialog } from "./ReasonDialog.js";
import { Section } from "./Section.js";

/** The paused tenants and persons, with a button that resumes each, and one that pauses another. */
export function Pauses({ pauses }: { pauses: readonly Pause[] }) {
  const { client } = useLive();
  const [isPausing, setPausing] = useState(false);
  const [resumed, setResumed] = useState<Pause>();
  const text = strings.operate.pauses;
  return (
    <Section
      title={text.title}
      testId="pauses"
      action={
        <Button
          size="xs"
          variant="default"
          leftSection={<IconPlayerPause size={14} aria-hidden />}
          onClick={() => setPausing(true)}
          data-testid="pause-open"
        >
          {text.open}
        </Button>
      }
    >
      {pauses.length === 0 && (
        <Text size="sm" c="dimmed">
          {text.none}
        </Text>
      )}
      <Stack gap="xs" component="ul" p={0} m={0} style={{ listStyle: "none" }}>
        {pauses.map((pause) => {
          const owner = strings.operate.owner(pause.tenant, pause.user);
          return (
            <Group
              key={JSON.stringify([pause.tenant, pause.user])}
              component="li"
              justify="space-between"
              wrap="nowrap"
              data-testid="pause-row"
            >
              <div style={{ minWidth: 0, overflowWrap: "anywhere" }}>
                <Text fw={600}>{owner}</Text>
                <Text size="sm" c="dimmed">
                  {text.facts(pause)}
                </Text>
              </div>
              <Button
                size="xs"
                variant="default"
                leftSection={<IconPlayerPlay size={14} aria-hidden />}
                aria-label={text.resumeOwner(owner)}
                onClick={() => setResumed(pause)}
                data-testid="resume-open"
              >
                {text.resume}
              </Button>
            </Group>
          );
        })}
      </Stack>
      {isPausing && <PauseDialog onClose={() => setPausing(false)} />}
      {resumed && (
        <ReasonDialog
          title={text.resumeOwner(strings.operate.owner(resumed.tenant, resumed.user))}
          explain={text.facts(resumed)}
          submit={text.resume}
          onSubmit={(reason) => client.operate.resume(toOwner(resumed.tenant, resumed.user), reason)}
          onClose={() => setResumed(undefined)}
        />
      )}
    </Section>
  );
}

interface DialogProps {
  /** The tenant and person to begin with. */
  owner?: { tenant: string; user: string };
  onClose: () => void;
}

/** Asks whom to pause, and why. */
export function PauseDialog({ owner, onClose }: DialogProps) {
  const { client } = useLive();
  const [tenant, setTenant] = useState(owner?.tenant ?? "");
  const [user, setUser] = useState(owner?.user ?? "");
  const [isChecked, setChecked] = useState(false);
  const text = strings.operate.pauses;
  return (
    <ReasonDialog
      title={text.open}
      explain={text.explain}
      submit={text.pause}
      isValid={() => {
        setChecked(true);
        return tenant !== "";
      }}
      onSubmit={(reason) => client.operate.pause(toOwner(tenant, user), reason)}
      onClose={onClose}
    >
      <TextInput
        label={text.tenant}
        value={tenant}
        onChange={(event) => setTenant(event.currentTarget.value)}
        error={isChecked && tenant === "" ? text.missing : undefined}
        required
        data-autofocus
        data-testid="pause-tenant"
      />
      <TextInput
        label={text.user}
        description={text.userHint}
        value={user}
        onChange={(event) => setUser(event.currentTarget.value)}
        data-testid="pause-user"
      />
    </ReasonDialog>
  );
}

/** Returns a tenant, or a user of it. Without a user it means the whole tenant. */
export function toOwner(tenant: string, user: string | null | undefined) {
  return user ? { tenant, user } : { tenant };
}
