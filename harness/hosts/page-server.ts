/** The parent's side of a page: a small HTTP server on 127.0.0.1 for the bundle and the runtimes' files, and the two WebSockets. */
import { randomUUID } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { type WebSocket, WebSocketServer } from 'ws'
import { type FromPage, type FromWorker, type ToPage, type ToWorker, unpack } from './page-wire.ts'

export interface PageServer {
  /** Address of the page, with the key that its WebSockets have to show. */
  url: string
  /** Starts worker `epoch` in the page that is connected. */
  startWorker(epoch: number): void
  send(epoch: number, message: ToWorker): void
  close(): void
}
export interface Listener {
  page(): void
  note(message: FromPage): void
  worker(epoch: number, message: FromWorker): void
}

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.map': 'application/json',
}
/** Cross-origin isolation: without it a page has no SharedArrayBuffer. */
const ISOLATED = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cache-Control': 'no-store' }
const HTML =
  '<!doctype html><meta charset="utf-8"><title>opcompat</title><link rel="icon" href="data:,"><script type="module" src="/main.js"></script>'

/** `scripts`: text by path. `folders`: served as they are, by the first part of the path. */
export async function pageServer(
  scripts: Readonly<Record<string, string>>,
  folders: Readonly<Record<string, string>>,
  listener: Listener,
): Promise<PageServer> {
  const key = randomUUID()
  let page: WebSocket | undefined
  const workers = new Map<number, WebSocket>()

  const answer = (path: string, response: ServerResponse) => {
    const text = path === '/' ? HTML : scripts[path]
    if (text !== undefined) {
      response.writeHead(200, { ...ISOLATED, 'Content-Type': path === '/' ? 'text/html' : 'text/javascript' }).end(text)
      return
    }
    const [, folder = '', name = ''] = /^\/([\w-]+)\/([\w.-]+)$/.exec(path) ?? []
    const file = folders[folder] && join(folders[folder], name)
    const type = TYPES[extname(name)]
    if (!file || !type || !existsSync(file)) {
      response.writeHead(404, ISOLATED).end()
      return
    }
    response.writeHead(200, { ...ISOLATED, 'Content-Type': type })
    createReadStream(file).pipe(response)
  }
  const server = createServer((request, response) => answer(new URL(request.url ?? '/', 'http://page').pathname, response))
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 2 ** 30, perMessageDeflate: false })
  server.on('upgrade', (request, socket, head) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://page')
    if (searchParams.get('key') !== key) {
      socket.destroy()
      return
    }
    sockets.handleUpgrade(request, socket, head, ws => {
      ws.on('error', () => ws.terminate())
      if (pathname === '/notes') {
        page = ws
        ws.on('message', data => listener.note(JSON.parse(String(data))))
        listener.page()
      } else {
        const epoch = Number(searchParams.get('epoch'))
        workers.set(epoch, ws)
        ws.on('message', data => {
          let message: ReturnType<typeof unpack>
          try {
            message = unpack(data as Buffer)
          } catch {
            ws.terminate() // the worker's memory is not what it was: it gives no more answers, and its job runs into the deadline
            return
          }
          listener.worker(epoch, message)
        })
        ws.on('close', () => workers.delete(epoch))
      }
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  server.unref()
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/?key=${key}`,
    startWorker: epoch => page?.send(JSON.stringify({ start: epoch } satisfies ToPage)),
    send: (epoch, message) => workers.get(epoch)?.send(JSON.stringify(message)),
    close() {
      for (const ws of sockets.clients) ws.terminate()
      sockets.close()
      server.closeAllConnections()
      server.close()
    },
  }
}
