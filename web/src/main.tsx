/** The pages' entry: providers around the router. */

import './styles';
import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { createRoot } from 'react-dom/client';
import { router } from './router';
import { ConnectionProvider } from './shell/connection';
import { nonce } from './shell/nonce';
import { resolver, theme } from './theme';

const client = new QueryClient({
  defaultOptions: { queries: { networkMode: 'always', refetchOnWindowFocus: false } },
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <MantineProvider
      theme={theme}
      cssVariablesResolver={resolver}
      defaultColorScheme="auto"
      getStyleNonce={nonce}
    >
      <QueryClientProvider client={client}>
        <ConnectionProvider>
          <RouterProvider router={router} />
        </ConnectionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
}
