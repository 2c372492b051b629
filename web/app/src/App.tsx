import { Anchor, AppShell, Container, Stack } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import classes from "./App.module.css";
import { type Identity, loadIdentity, storeIdentity } from "./auth/identity.js";
import { SignIn } from "./auth/SignIn.js";
import { notifyOtherTabs, onSignOutInOtherTab, signOutAtIssuer } from "./auth/signOut.js";
import { ExportPage } from "./exports/ExportPage.js";
import { HistoryPage } from "./history/HistoryPage.js";
import { Header } from "./layout/Header.js";
import { Home } from "./layout/Home.js";
import { PageTitle } from "./layout/PageTitle.js";
import { LiveProvider, useLive } from "./live/LiveProvider.js";
import { UserSession } from "./live/userSession.js";
import { ExportLiveRegion } from "./notify/ExportLiveRegion.js";
import { clearNotificationChoice } from "./notify/notifications.js";
import { removeOrphanFiles } from "./saving/fileCleanup.js";
import { Journal } from "./saving/journal.js";
import { strings } from "./strings.js";

/** Sign-in, or the page of the person who is signed in. */
export function App() {
  const [userSession, setUserSession] = useState(() => new UserSession());
  const [, navigate] = useLocation();
  const [identity, setIdentity] = useState(() => loadIdentity());
  const [ended, setEnded] = useState(false);

  const keep = useCallback(
    (given: Identity) => {
      if (userSession.ended.aborted) {
        return; // they have signed out meanwhile
      }
      storeIdentity(given);
      setIdentity(given);
      setEnded(false);
    },
    [userSession],
  );
  const leave = useCallback(
    (byItself: boolean) => {
      if (userSession.ended.aborted) {
        return; // whoever is here by now stays
      }
      userSession.end();
      setUserSession(new UserSession());
      storeIdentity(undefined);
      setIdentity(undefined);
      setEnded(byItself);
    },
    [userSession],
  );
  const arrive = useCallback(
    (given: Identity, back?: string) => {
      if (back) {
        navigate(back, { replace: true });
      }
      keep(given);
    },
    [keep, navigate],
  );

  useEffect(() => {
    // what a page that left for the issuer's had no time to remove; a browser that keeps nothing has nothing to remove
    void removeOrphanFiles(new Journal()).catch(() => undefined);
  }, []);
  useEffect(
    () =>
      onSignOutInOtherTab((gone) => {
        const own = loadIdentity();
        if (own && own.sub === gone.sub && own.tenant === gone.tenant) {
          sessionStorage.clear();
          leave(false);
        }
      }),
    [leave],
  );

  return (
    <QueryClientProvider client={userSession.queryClient}>
      {identity ? (
        <LiveProvider
          userSession={userSession}
          identity={identity}
          onIdentity={keep}
          onEnded={() => leave(true)}
        >
          <Shell identity={identity} onLeave={() => leave(false)} />
        </LiveProvider>
      ) : (
        <SignIn ended={ended} onSignIn={arrive} />
      )}
    </QueryClientProvider>
  );
}

function Shell({ identity, onLeave }: { identity: Identity; onLeave: () => void }) {
  const { saver } = useLive();
  const signOut = async () => {
    notifyOtherTabs(identity);
    clearNotificationChoice();
    // what cannot be removed now is nobody else's to see, and is removed at the next start
    const forgotten = saver.forget().catch(() => undefined);
    sessionStorage.clear();
    onLeave();
    await signOutAtIssuer(identity, forgotten);
  };
  return (
    <AppShell header={{ height: 60 }} padding={{ base: "sm", sm: "lg" }}>
      <a href="#main" className={classes.skip}>
        {strings.header.skip}
      </a>
      <AppShell.Header>
        <Container size="xl" h="100%" p={0}>
          <Header identity={identity} onSignOut={() => void signOut()} />
        </Container>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1}>
        <ExportLiveRegion />
        <Container size="xl" p={0}>
          <Switch>
            <Route path="/">
              <Home />
            </Route>
            <Route path="/datasets/:name">{({ name }) => <Home dataset={decoded(name)} />}</Route>
            <Route path="/exports/:id">{({ id }) => <ExportPage id={id} />}</Route>
            <Route path="/history" component={HistoryPage} />
            <Route>
              <Stack align="center" py="xl">
                <PageTitle page="nowhere" name={strings.notFoundTitle} size="h2">
                  {strings.notFoundTitle}
                </PageTitle>
                <Anchor component={Link} href="/">
                  {strings.notFoundBack}
                </Anchor>
              </Stack>
            </Route>
          </Switch>
        </Container>
      </AppShell.Main>
    </AppShell>
  );
}

/** What an address says, which may be anything: what can't be decoded stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
