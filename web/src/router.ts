/** The pages and their addresses. Search parameters keep their plain form: `?range=1h&sort=-cpu`. */

import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { Overview } from './pages/overview/Overview';
import { Layout } from './shell/Layout';
import { NotFound } from './shell/NotFound';
import { parseSearch, stringifySearch } from './shell/search';

export type Search = Record<string, string | boolean | undefined>;

const root = createRootRoute({
  component: Layout,
  notFoundComponent: NotFound,
  validateSearch: (search: Record<string, unknown>): Search => search as Search,
});

const overview = createRoute({ getParentRoute: () => root, path: '/', component: Overview });

const containers = createRoute({ getParentRoute: () => root, path: '/containers' });

const containerList = createRoute({
  getParentRoute: () => containers,
  path: '/',
  component: lazyRouteComponent(() => import('./pages/containers/Containers'), 'ContainersPage'),
});

const container = createRoute({
  getParentRoute: () => containers,
  path: '$',
  component: lazyRouteComponent(() => import('./pages/containers/ContainerPage'), 'ContainerPage'),
});

const explore = createRoute({
  getParentRoute: () => root,
  path: '/explore',
  component: lazyRouteComponent(() => import('./pages/explore/Explore'), 'ExplorePage'),
});

const store = createRoute({
  getParentRoute: () => root,
  path: '/store',
  component: lazyRouteComponent(() => import('./pages/store/StorePage'), 'StorePage'),
});

const status = createRoute({
  getParentRoute: () => root,
  path: '/status',
  component: lazyRouteComponent(() => import('./pages/status/StatusPage'), 'StatusPage'),
});

/** Addresses of Prometheus's own pages, as links in alerts have them. */
const graph = (path: '/graph' | '/query') =>
  createRoute({
    getParentRoute: () => root,
    path,
    beforeLoad: ({ search }) => {
      throw redirect({ to: '/explore', search: search as never });
    },
  });

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    containers.addChildren([containerList, container]),
    explore,
    store,
    status,
    graph('/graph'),
    graph('/query'),
  ]),
  parseSearch,
  stringifySearch,
  defaultPreload: 'intent',
  scrollRestoration: true,
});
