import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * The JDK's own HTTP client as it is by default: its first request on a connection without TLS
 * offers HTTP/2 (`Upgrade: h2c`). Prints a line for each reply: its name, the version of HTTP, the
 * status and the body, with tabs between.
 */
public class Client {
    private static final int AT_ONCE = 20;

    public static void main(String[] arguments) throws Exception {
        URI rerank = URI.create(arguments[0] + "/v1/rerank");
        HttpClient client = HttpClient.newHttpClient();
        print("first", client.send(post(rerank, body("demo", 3)), BodyHandlers.ofString()));
        print("again", client.send(post(rerank, body("demo", 3)), BodyHandlers.ofString()));
        print("unknown", client.send(post(rerank, body("other", 3)), BodyHandlers.ofString()));
        print("empty", client.send(post(rerank, body("demo", 0)), BodyHandlers.ofString()));
        HttpRequest read = HttpRequest.newBuilder(URI.create(arguments[0] + "/v1/models")).build();
        print("models", fresh(read));
        print("large", fresh(post(rerank, body("demo", 5000))));
        byte[] sent = body("demo", 3).getBytes(StandardCharsets.UTF_8);
        BodyPublisher chunked = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(sent));
        print("chunked", fresh(builder(rerank, chunked).build()));
        HttpRequest.Builder asking = builder(rerank, BodyPublishers.ofByteArray(sent));
        print("expect", fresh(asking.expectContinue(true).build()));
        HttpClient shared = HttpClient.newHttpClient();
        List<CompletableFuture<HttpResponse<String>>> replies = new ArrayList<>();
        for (int number = 0; number < AT_ONCE; number++) {
            HttpRequest request = post(rerank, body("demo", 3));
            replies.add(shared.sendAsync(request, BodyHandlers.ofString()));
        }
        for (CompletableFuture<HttpResponse<String>> reply : replies) {
            print("at once", reply.get());
        }
    }

    /** Sends a request over a connection of its own, which begins with the offer. */
    private static HttpResponse<String> fresh(HttpRequest request) throws Exception {
        return HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
    }

    private static HttpRequest post(URI address, String body) {
        return builder(address, BodyPublishers.ofString(body)).build();
    }

    private static HttpRequest.Builder builder(URI address, BodyPublisher body) {
        HttpRequest.Builder request = HttpRequest.newBuilder(address);
        return request.header("Content-Type", "application/json").POST(body);
    }

    private static String body(String model, int documents) {
        StringBuilder text = new StringBuilder("{\"query\": \"which?\", \"top_n\": 1, \"model\": \"");
        text.append(model).append("\", \"documents\": [");
        for (int number = 0; number < documents; number++) {
            text.append(number > 0 ? ", " : "").append("\"document ").append(number).append('"');
        }
        return text.append("]}").toString();
    }

    private static void print(String name, HttpResponse<String> reply) {
        String version = reply.version().toString();
        System.out.printf("%s\t%s\t%d\t%s%n", name, version, reply.statusCode(), reply.body());
    }
}
