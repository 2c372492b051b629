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
import { SluiceClient, SluiceError } from "@sluice/client";
import { IconChevronRight, IconLogin } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { Logo } from "../layout/Logo.js";
import { PageTitle } from "../layout/PageTitle.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { ensureBrowserKey } from "./browserKey.js";
import { fetchLocalUsers, fetchSignIn, type Identity, type SignInKind, signInLocally } from "./identity.js";
import { CALLBACK_PATH, Oidc } from "./oidc.js";
import classes from "./SignIn.module.css";

interface Props {
  /** Whether the session of the user ended because the token expired. */
  expired: boolean;
  onSignIn: (identity: Identity, returnPath?: string) => void;
}

/** Sign-in by the method of this installation: an OpenID Connect issuer, a local user, or a pasted token. */
export function SignIn({ expired, onSignIn }: Props) {
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
        {expired && <Alert color="yellow">{strings.signIn.ended}</Alert>}
        <Paper withBorder shadow="sm" p="lg" radius="lg">
          {kind.isPending ? (
            <LoadingIndicator />
          ) : kind.isError ? (
            <ProblemAlert error={kind.error} onRetry={() => void kind.refetch()} />
          ) : kind.data.kind === "local" ? (
            <LocalSignIn linkRequired={kind.data.link_required} onSignIn={onSignIn} />
          ) : kind.data.kind === "oidc" ? (
            <IssuerSignIn issuer={kind.data} onSignIn={onSignIn} />
          ) : (
            <PasteToken onSignIn={onSignIn} />
          )}
        </Paper>
      </Stack>
    </Center>
  );
}

function LoadingIndicator() {
  return (
    <Center p="xl">
      <Loader role="status" aria-label={strings.loading} />
    </Center>
  );
}

const BROWSER_KEY_QUERY = ["browser-key"];

interface LocalSignInProps {
  linkRequired: boolean;
  onSignIn: (identity: Identity) => void;
}

/** Offers the local users once this browser has opened a sign-in link, if the installation requires one. */
function LocalSignIn({ linkRequired, onSignIn }: LocalSignInProps) {
  const key = useQuery({
    queryKey: BROWSER_KEY_QUERY,
    queryFn: ensureBrowserKey,
    enabled: linkRequired,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false, // a link works once
  });
  if (!linkRequired || key.data) {
    return <LocalUsers onSignIn={onSignIn} />;
  }
  if (key.isPending) {
    return <LoadingIndicator />;
  }
  if (key.isError && SluiceError.from(key.error).slug !== "unauthorized") {
    return <ProblemAlert error={key.error} onRetry={() => void key.refetch()} />;
  }
  return (
    <div data-testid="sign-in-link-required">
      <Title order={2} size="h4">
        {key.isError ? strings.signIn.linkUsed : strings.signIn.linkTitle}
      </Title>
      <Text size="sm" c="dimmed">
        {strings.signIn.linkHint}
      </Text>
    </div>
  );
}

function LocalUsers({ onSignIn }: { onSignIn: (identity: Identity) => void }) {
  const queryClient = useQueryClient();
  const users = useQuery({
    queryKey: ["local-users"],
    queryFn: fetchLocalUsers,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const signIn = useMutation({
    mutationFn: signInLocally,
    onSuccess: (identity) => onSignIn(identity),
    // the gateway has restarted since this browser opened a link
    onError: () => queryClient.invalidateQueries({ queryKey: BROWSER_KEY_QUERY }),
  });
  if (users.isPending) {
    return <LoadingIndicator />;
  }
  if (users.isError) {
    return <ProblemAlert error={users.error} onRetry={() => void users.refetch()} />;
  }
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        {strings.signIn.choose}
      </Text>
      {users.data.map((user) => (
        <UnstyledButton
          key={user.id}
          className={classes.person}
          data-testid={`sign-in-${user.id}`}
          disabled={signIn.isPending}
          onClick={() => signIn.mutate(user.id)}
        >
          <Group wrap="nowrap">
            <Avatar name={user.name} color="water" radius="xl" aria-hidden />
            <div style={{ flex: 1, minWidth: 0 }}>
              <Text fw={600}>{user.name}</Text>
              <Text size="sm" c="dimmed" truncate>
                {strings.signIn.tenant(user.tenant)}
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

/** A button that leads to the issuer. After the redirect back it completes the sign-in. */
function IssuerSignIn({ issuer, onSignIn }: { issuer: Issuer; onSignIn: Props["onSignIn"] }) {
  const isCallback = window.location.pathname === CALLBACK_PATH;
  const callback = useQuery({
    queryKey: ["sign-in-callback", window.location.href],
    queryFn: async () => {
      const result = await (await Oidc.create(issuer)).completeSignIn(window.location.href);
      onSignIn(result.identity, result.returnPath);
      return true;
    },
    enabled: isCallback,
    retry: false, // an authorization code is valid once
  });
  const redirect = useMutation({
    mutationFn: async () => {
      const { pathname, search } = window.location;
      await (await Oidc.create(issuer)).startSignIn(isCallback ? "/" : pathname + search);
    },
  });
  if (isCallback && callback.isPending) {
    return <LoadingIndicator />;
  }
  const error = redirect.error ?? callback.error;
  return (
    <Stack>
      {error && <ProblemAlert error={error} />}
      <Text size="sm" c="dimmed">
        {strings.signIn.issuerHint(new URL(issuer.authority).host)}
      </Text>
      <Button
        leftSection={<IconLogin size={18} />}
        loading={redirect.isPending}
        onClick={() => redirect.mutate()}
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
    mutationFn: async (value: string): Promise<Identity> => {
      await new SluiceClient({ baseUrl: window.location.origin, token: value }).credits();
      return { token: value, expiresAt: null, sub: "", tenant: "", via: "token", localUser: null };
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
