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
import { IconChevronRight, IconLogin } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { Logo } from "../layout/Logo.js";
import { PageTitle } from "../layout/PageTitle.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { fetchPeople, fetchSignIn, type Identity, type SignInKind, signInLocally } from "./identity.js";
import { CALLBACK_PATH, Oidc } from "./oidc.js";
import classes from "./SignIn.module.css";

interface Props {
  /** An earlier session ended by itself. */
  ended: boolean;
  onSignIn: (identity: Identity, back?: string) => void;
}

/** Signs in the way this installation does it: at its issuer, as a local person, or with a token. */
export function SignIn({ ended, onSignIn }: Props) {
  const kind = useQuery({
    queryKey: ["sign-in"],
    queryFn: fetchSignIn,
    staleTime: Number.POSITIVE_INFINITY,
  });
  useEffect(() => {
    document.title = strings.product;
  }, []);
  return (
    <Center component="main" mih="100dvh" p="md" className={classes.page}>
      <Stack w="100%" maw={420} gap="lg">
        <Stack gap={6} align="center">
          <Logo size={52} />
          <PageTitle page="sign-in" name="" size="h2">
            {strings.product}
          </PageTitle>
          <Text c="dimmed">{strings.tagline}</Text>
        </Stack>
        {ended && <Alert color="yellow">{strings.signIn.ended}</Alert>}
        <Paper withBorder shadow="sm" p="lg" radius="lg">
          {kind.isPending ? (
            <Waiting />
          ) : kind.isError ? (
            <ProblemAlert error={kind.error} onRetry={() => void kind.refetch()} />
          ) : kind.data.kind === "local" ? (
            <People onSignIn={onSignIn} />
          ) : kind.data.kind === "oidc" ? (
            <AtIssuer issuer={kind.data} onSignIn={onSignIn} />
          ) : (
            <PasteToken onSignIn={onSignIn} />
          )}
        </Paper>
      </Stack>
    </Center>
  );
}

function Waiting() {
  return (
    <Center p="xl">
      <Loader role="status" aria-label={strings.loading} />
    </Center>
  );
}

function People({ onSignIn }: { onSignIn: (identity: Identity) => void }) {
  const people = useQuery({
    queryKey: ["people"],
    queryFn: fetchPeople,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const signIn = useMutation({ mutationFn: signInLocally, onSuccess: (identity) => onSignIn(identity) });
  if (people.isPending) {
    return <Waiting />;
  }
  if (people.isError) {
    return <ProblemAlert error={people.error} onRetry={() => void people.refetch()} />;
  }
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        {strings.signIn.choose}
      </Text>
      {people.data.map((person) => (
        <UnstyledButton
          key={person.id}
          className={classes.person}
          data-testid={`sign-in-${person.id}`}
          disabled={signIn.isPending}
          onClick={() => signIn.mutate(person.id)}
        >
          <Group wrap="nowrap">
            <Avatar name={person.name} color="water" radius="xl" aria-hidden />
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

type Issuer = Extract<SignInKind, { kind: "oidc" }>;

/** One button that leads to the issuer; and, back from there, taking what it sent along. */
function AtIssuer({ issuer, onSignIn }: { issuer: Issuer; onSignIn: Props["onSignIn"] }) {
  const isBack = window.location.pathname === CALLBACK_PATH;
  const arrival = useQuery({
    queryKey: ["arrival", window.location.href],
    queryFn: async () => {
      const arrived = await (await Oidc.at(issuer)).arrive(window.location.href);
      onSignIn(arrived.identity, arrived.back);
      return true;
    },
    enabled: isBack,
    retry: false, // a code works once
  });
  const leaving = useMutation({
    mutationFn: async () => {
      const { pathname, search } = window.location;
      await (await Oidc.at(issuer)).leave(isBack ? "/" : pathname + search);
    },
  });
  if (isBack && arrival.isPending) {
    return <Waiting />;
  }
  const error = leaving.error ?? arrival.error;
  return (
    <Stack>
      {error && <ProblemAlert error={error} />}
      <Text size="sm" c="dimmed">
        {strings.signIn.issuerHint(new URL(issuer.authority).host)}
      </Text>
      <Button
        leftSection={<IconLogin size={18} />}
        loading={leaving.isPending}
        onClick={() => leaving.mutate()}
        data-testid="sign-in-issuer"
      >
        {strings.signIn.submit}
      </Button>
    </Stack>
  );
}

function PasteToken({ onSignIn }: { onSignIn: (identity: Identity) => void }) {
  const [token, setToken] = useState("");
  const signIn = useMutation({
    mutationFn: async (given: string): Promise<Identity> => {
      await new SluiceClient({ baseUrl: window.location.origin, token: given }).credits();
      return { token: given, expiresAt: null, sub: "", tenant: "", via: "token", person: null };
    },
    onSuccess: (identity) => onSignIn(identity),
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
