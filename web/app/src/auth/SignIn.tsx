import {
  Alert,
  Avatar,
  Button,
  Center,
  Group,
  Loader,
  Paper,
  PasswordInput,
  Stack,
  Text,
  Title,
  UnstyledButton,
} from "@mantine/core";
import { SluiceClient } from "@sluice/client";
import { IconChevronRight } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Logo } from "../layout/Logo.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { fetchPeople, type Identity, type Person, signInLocally } from "./identity.js";
import classes from "./SignIn.module.css";

interface Props {
  /** An earlier session ended by itself. */
  ended: boolean;
  onSignIn: (identity: Identity) => void;
}

/** Choose a local person, or paste a token where an identity provider rules. */
export function SignIn({ ended, onSignIn }: Props) {
  const people = useQuery({
    queryKey: ["people"],
    queryFn: fetchPeople,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Center component="main" mih="100dvh" p="md" className={classes.page}>
      <Stack w="100%" maw={420} gap="lg">
        <Stack gap={6} align="center">
          <Logo size={52} />
          <Title order={1} size="h2">
            {strings.product}
          </Title>
          <Text c="dimmed">{strings.tagline}</Text>
        </Stack>
        {ended && <Alert color="yellow">{strings.signIn.ended}</Alert>}
        <Paper withBorder shadow="sm" p="lg" radius="lg">
          {people.isPending ? (
            <Center p="xl">
              <Loader aria-label={strings.loading} />
            </Center>
          ) : people.isError ? (
            <ProblemAlert error={people.error} onRetry={() => void people.refetch()} />
          ) : people.data ? (
            <People people={people.data} onSignIn={onSignIn} />
          ) : (
            <PasteToken onSignIn={onSignIn} />
          )}
        </Paper>
      </Stack>
    </Center>
  );
}

function People({ people, onSignIn }: { people: Person[]; onSignIn: (identity: Identity) => void }) {
  const signIn = useMutation({ mutationFn: signInLocally, onSuccess: onSignIn });
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        {strings.signIn.choose}
      </Text>
      {people.map((person) => (
        <UnstyledButton
          key={person.id}
          className={classes.person}
          data-testid={`sign-in-${person.id}`}
          disabled={signIn.isPending}
          onClick={() => signIn.mutate(person.id)}
        >
          <Group wrap="nowrap">
            <Avatar name={person.name} color="initials" radius="xl" aria-hidden />
            <div style={{ flex: 1, minWidth: 0 }}>
              <Text fw={600}>{person.name}</Text>
              <Text size="sm" c="dimmed" truncate>
                {strings.signIn.tenant(person.tenant)}
              </Text>
            </div>
            <IconChevronRight size={18} aria-hidden />
          </Group>
        </UnstyledButton>
      ))}
      {signIn.isError && <ProblemAlert error={signIn.error} onClose={signIn.reset} />}
    </Stack>
  );
}

function PasteToken({ onSignIn }: { onSignIn: (identity: Identity) => void }) {
  const [token, setToken] = useState("");
  const signIn = useMutation({
    mutationFn: async (given: string): Promise<Identity> => {
      await new SluiceClient({ baseUrl: window.location.origin, token: given }).credits();
      return { token: given, expiresAt: null, sub: "", tenant: "", person: null };
    },
    onSuccess: onSignIn,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate(token.trim());
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <div>
          <Title order={2} size="h4">
            {strings.signIn.pasteTitle}
          </Title>
          <Text size="sm" c="dimmed">
            {strings.signIn.pasteHint}
          </Text>
        </div>
        <PasswordInput
          label={strings.signIn.tokenLabel}
          data-testid="token-input"
          autoComplete="off"
          value={token}
          onChange={(event) => setToken(event.currentTarget.value)}
          required
        />
        {signIn.isError && <ProblemAlert error={signIn.error} onClose={signIn.reset} />}
        <Button type="submit" loading={signIn.isPending} data-testid="token-submit">
          {strings.signIn.submit}
        </Button>
      </Stack>
    </form>
  );
}
