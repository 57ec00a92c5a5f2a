// Subscriptions over one WebSocket, in the protocol graphql-transport-ws. It only rings and tells progress: whatever it
// misses is in the next answer to a query, so that nothing has to be resumed.

const LONGEST_WAIT_MS = 15_000;
/** The service pings an idle socket more often than this. */
const SILENT_MS = 45_000;
const REFUSED = [4401, 4403];

export class Live {
  /**
   * @param {string} key the access key
   * @param {{query: string, take: (data: object) => void}[]} operations what to subscribe to
   * @param {(state: 'live'|'cut'|'refused') => void} told how the stream stands
   */
  constructor(key, operations, told) {
    this.key = key;
    this.operations = operations;
    this.told = told;
    this.tries = 0;
    this.open();
  }

  open() {
    const url = new URL('/graphql', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url, 'graphql-transport-ws');
    this.socket = socket;
    const send = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
    const listen = () => {
      clearTimeout(this.silence);
      this.silence = setTimeout(() => socket.close(), SILENT_MS);
    };
    socket.onopen = () => {
      listen();
      send({ type: 'connection_init', payload: { Authorization: `Bearer ${this.key}` } });
    };
    socket.onmessage = ({ data }) => {
      listen();
      const message = JSON.parse(data);
      switch (message.type) {
        case 'connection_ack':
          this.tries = 0;
          this.operations.forEach(({ query }, id) => send({ id: String(id), type: 'subscribe', payload: { query } }));
          this.told('live');
          break;
        case 'ping':
          send({ type: 'pong' });
          break;
        case 'next':
          if (message.payload.data) this.operations[Number(message.id)]?.take(message.payload.data);
          break;
        case 'error':
        case 'complete':
          // The service stops, or this page was too slow: begin anew.
          socket.close();
          break;
      }
    };
    socket.onclose = ({ code }) => {
      clearTimeout(this.silence);
      if (this.isOver) return;
      if (REFUSED.includes(code)) {
        this.end();
        this.told('refused');
        return;
      }
      this.told('cut');
      const longest = Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.tries++);
      this.wait = setTimeout(() => this.open(), longest * (0.5 + Math.random() / 2));
    };
  }

  /** Tries again now, where it waits to. */
  hurry() {
    if (this.isOver || this.socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.wait);
    this.open();
  }

  end() {
    this.isOver = true;
    clearTimeout(this.wait);
    clearTimeout(this.silence);
    this.socket.close();
  }
}
