// SPDX-License-Identifier: MIT

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The JDK's HTTP server: one pool reads the heads, another one does the work and answers.
 * usage: java PoolServer.java PORT. Routes: /health, /burn?us=N, /sleep?us=N.
 * X-Handler-CPU-Ns is what the handler's thread used.
 */
public class PoolServer {
    private static long cpu() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private static void answer(HttpExchange exchange) {
        String path = exchange.getRequestURI().getPath();
        String query = exchange.getRequestURI().getQuery();
        long us = query == null ? 0 : Long.parseLong(query.substring(3));
        long start = cpu();
        try {
            if (path.equals("/burn")) {
                while (cpu() - start < us * 1000) {
                }
            } else if (path.equals("/sleep")) {
                Thread.sleep(us / 1000);
            }
            exchange.getResponseHeaders().set("X-Handler-CPU-Ns", Long.toString(cpu() - start));
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write("ok".getBytes());
        } catch (IOException | InterruptedException error) {
            System.err.println(error);
        }
        exchange.close();
    }

    public static void main(String[] args) throws IOException {
        ExecutorService work = Executors.newFixedThreadPool(8);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 512);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> work.submit(() -> answer(exchange)));
        server.start();
    }
}
