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
import { OperatePage } from "./operate/OperatePage.js";
import { StoryPage } from "./operate/StoryPage.js";
import { removeOrphanFiles } from "./saving/fileCleanup.js";
import { Journal } from "./saving/journal.js";
import { strings } from "./strings.js";

/** Shows the sign-in, or the application when a user is signed in. */
export function App() {
  const [userSession, setUserSession] = useState(() => new UserSession());
  const [, navigate] = useLocation();
  const [identity, setIdentity] = useState(() => loadIdentity());
  const [sessionExpired, setSessionExpired] = useState(false);

  const saveIdentity = useCallback(
    (given: Identity) => {
      if (userSession.ended.aborted) {
        return; // the user has signed out meanwhile
      }
      storeIdentity(given);
      setIdentity(given);
      setSessionExpired(false);
    },
    [userSession],
  );
  const endSession = useCallback(
    (expired: boolean) => {
      if (userSession.ended.aborted) {
        return; // another session has already replaced this one
      }
      userSession.end();
      setUserSession(new UserSession());
      storeIdentity(undefined);
      setIdentity(undefined);
      setSessionExpired(expired);
    },
    [userSession],
  );
  const completeSignIn = useCallback(
    (given: Identity, returnPath?: string) => {
      if (returnPath) {
        navigate(returnPath, { replace: true });
      }
      saveIdentity(given);
    },
    [saveIdentity, navigate],
  );

  useEffect(() => {
    // removes files that the last sign-out had no time to remove; fails where the browser has no such storage
    void removeOrphanFiles(new Journal()).catch(() => undefined);
  }, []);
  useEffect(
    () =>
      onSignOutInOtherTab((user) => {
        const current = loadIdentity();
        if (current && current.sub === user.sub && current.tenant === user.tenant) {
          sessionStorage.clear();
          endSession(false);
        }
      }),
    [endSession],
  );

  return (
    <QueryClientProvider client={userSession.queryClient}>
      {identity ? (
        <LiveProvider
          userSession={userSession}
          identity={identity}
          onIdentity={saveIdentity}
          onEnded={() => endSession(true)}
        >
          <Shell identity={identity} onSignOut={() => endSession(false)} />
        </LiveProvider>
      ) : (
        <SignIn expired={sessionExpired} onSignIn={completeSignIn} />
      )}
    </QueryClientProvider>
  );
}

function Shell({ identity, onSignOut }: { identity: Identity; onSignOut: () => void }) {
  const { saver } = useLive();
  const signOut = async () => {
    notifyOtherTabs(identity);
    clearNotificationChoice();
    // no other user can see a file that can't be removed now; the next start of the page removes the file
    const filesRemoved = saver.removeAll().catch(() => undefined);
    sessionStorage.clear();
    onSignOut();
    await signOutAtIssuer(identity, filesRemoved);
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
            <Route path="/datasets/:name">{({ name }) => <Home dataset={decodePathPart(name)} />}</Route>
            <Route path="/exports/:id">{({ id }) => <ExportPage id={id} />}</Route>
            <Route path="/history" component={HistoryPage} />
            <Route path="/operate" component={OperatePage} />
            <Route path="/operate/exports/:id">{({ id }) => <StoryPage id={id} />}</Route>
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

/** Decodes a part of the address. A part that can't be decoded is returned unchanged. */
function decodePathPart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
