/** The current page, in sync with the address bar. */

import { withinRoot } from '../core/root';
import { routeOf, type Route } from '../core/route';
import { root } from '../drivers/root';

class Router {
  route = $state<Route>(currentRoute());

  constructor() {
    addEventListener('popstate', () => this.#read());
    addEventListener('hashchange', () => this.#read());
    document.addEventListener('click', (event) => this.#handleClick(event));
  }

  /** Returns the address of a page, for links. */
  link(path: string): string {
    return root + path;
  }

  /** Returns the path of the current page. */
  path(): string {
    return withinRoot(root, location.pathname);
  }

  /** Goes to a page. */
  open(path: string): void {
    this.#go(this.link(path));
  }

  /** Goes to a page and replaces the current one in the history. */
  replace(path: string): void {
    history.replaceState(null, '', this.link(path));
    this.#read();
  }

  #go(address: string): void {
    history.pushState(null, '', address);
    this.#read();
    scrollTo(0, 0);
  }

  #read(): void {
    this.route = currentRoute();
  }

  /** Handles plain clicks on links within the dashboard, without loading a page. */
  #handleClick(event: MouseEvent): void {
    const modified = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (event.defaultPrevented || event.button !== 0 || modified) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.target !== '' || link.origin !== location.origin) return;
    event.preventDefault();
    this.#go(link.pathname + link.search + link.hash);
  }
}

function currentRoute(): Route {
  return routeOf(withinRoot(root, location.pathname), location.hash);
}

export const router = new Router();
