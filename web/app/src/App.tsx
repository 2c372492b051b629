import { Anchor, AppShell, Container, Stack, Title } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { Link, Route, Switch } from "wouter";
import { type Identity, loadIdentity, storeIdentity } from "./auth/identity.js";
import { SignIn } from "./auth/SignIn.js";
import { ExportPage } from "./exports/ExportPage.js";
import { Header } from "./layout/Header.js";
import { Home } from "./layout/Home.js";
import { LiveProvider } from "./live/LiveProvider.js";
import { strings } from "./strings.js";

/** Sign-in, or the page of the person who is signed in. */
export function App() {
  const queries = useQueryClient();
  const [identity, setIdentity] = useState(() => loadIdentity());
  const [ended, setEnded] = useState(false);

  const keep = useCallback((given: Identity) => {
    storeIdentity(given);
    setIdentity(given);
    setEnded(false);
  }, []);
  const leave = useCallback(
    (byItself: boolean) => {
      storeIdentity(undefined);
      setIdentity(undefined);
      setEnded(byItself);
      queries.clear();
    },
    [queries],
  );

  if (!identity) {
    return <SignIn ended={ended} onSignIn={keep} />;
  }
  return (
    <LiveProvider identity={identity} onIdentity={keep} onEnded={() => leave(true)}>
      <AppShell header={{ height: 60 }} padding={{ base: "sm", sm: "lg" }}>
        <AppShell.Header>
          <Container size="xl" h="100%" p={0}>
            <Header identity={identity} onSignOut={() => leave(false)} />
          </Container>
        </AppShell.Header>
        <AppShell.Main>
          <Container size="xl" p={0}>
            <Switch>
              <Route path="/" component={Home} />
              <Route path="/exports/:id">{({ id }) => <ExportPage id={id} />}</Route>
              <Route>
                <Stack align="center" py="xl">
                  <Title order={2}>{strings.notFoundTitle}</Title>
                  <Anchor component={Link} href="/">
                    {strings.notFoundBack}
                  </Anchor>
                </Stack>
              </Route>
            </Switch>
          </Container>
        </AppShell.Main>
      </AppShell>
    </LiveProvider>
  );
}
