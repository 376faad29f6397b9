import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import javax.imageio.ImageIO;
import org.apache.hc.client5.http.classic.methods.HttpGet;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.ClassicHttpRequest;
import org.apache.hc.core5.http.ContentType;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.http.io.entity.StringEntity;
import org.elephant.sam.entities.SAMType;
import org.elephant.sam.entities.SAMWeights;
import org.elephant.sam.parameters.SAMAutoMaskParameters;
import org.elephant.sam.parameters.SAMPromptParameters;
import org.locationtech.jts.geom.Coordinate;
import org.locationtech.jts.geom.Geometry;
import org.locationtech.jts.geom.GeometryFactory;
import org.locationtech.jts.geom.LinearRing;
import org.locationtech.jts.geom.Polygon;
import org.locationtech.jts.operation.valid.IsValidOp;

/**
 * Sends what QuPath's SAM extension sends, made by the extension's own classes, and records it with what JTS, the
 * geometry library of QuPath, makes of the answers.
 *
 * <p>The extension is not part of this project. With its sources (v0.9.1) in $EXT and, on Debian, the packages
 * libgoogle-gson-java, libjts-java, libhttpclient5-java and libslf4j-java:
 *
 * <pre>
 *   S=$EXT/src/main/java/org/elephant/sam; J=/usr/share/java
 *   CP=$J/gson.jar:$J/jts-core.jar:$J/httpclient5.jar:$J/httpcore5.jar:$J/httpcore5-h2.jar:$J/slf4j-api.jar
 *   javac -cp $CP -d out $S/entities/SAM{Type,Weights}.java $S/parameters/SAM{Prompt,AutoMask}Parameters.java Record.java
 *   java -cp $CP:out Record http://127.0.0.1:8000/samapi/sam/ &gt; recorded-0.9.1.json
 * </pre>
 *
 * <p>The service must serve the model `fake` first. With tokens: http://127.0.0.1:8000/samapi/with-token/TOKEN/sam/.
 */
public class Record {
    private static final Gson GSON = new GsonBuilder().serializeSpecialFloatingPointValues().setLenient().create();
    private static final GeometryFactory GEOMETRIES = new GeometryFactory();
    private static String address;
    private static final JsonArray cases = new JsonArray();

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        String picture = picture();
        JsonArray weights = JsonParser.parseString(get("weights", "weights/?type=vit_b")).getAsJsonArray();
        String url = GSON.fromJson(weights.get(0), SAMWeights.class).getUrl();
        get("progress", "progress/");
        post("a box", "", GSON.toJson(prompt(picture, url).bbox(24, 16, 72, 48).build()));
        post("a point, three masks", "", GSON.toJson(
            prompt(picture, url).addToForeground(List.of(new Coordinate(48, 30))).multimaskOutput(true).build()));
        post("points of both kinds", "", GSON.toJson(
            prompt(picture, url).addToForeground(List.of(new Coordinate(48, 30), new Coordinate(40, 25)))
                .addToBackground(List.of(new Coordinate(108, 72))).build()));
        List<Coordinate> outline = new ArrayList<>();
        for (int step = 0; step < 200; step++)
            outline.add(new Coordinate(45 + 10 * Math.cos(step * Math.PI / 100), 30 + 8 * Math.sin(step * Math.PI / 100)));
        post("every corner of a drawn outline", "", GSON.toJson(prompt(picture, url).addToForeground(outline).build()));
        post("a type that is not served", "", GSON.toJson(
            SAMPromptParameters.builder(SAMType.SAM3).b64img(picture).bbox(1, 2, 3, 4).build()));
        post("weights that are not served", "", GSON.toJson(
            prompt(picture, "https://example.org/cells.pth").bbox(24, 16, 72, 48).build()));
        post("masks of everything", "automask/", GSON.toJson(
            SAMAutoMaskParameters.builder(SAMType.VIT_B).b64img(picture).pointsPerSide(32).checkpointUrl(url).build()));
        post("add weights", "weights/", GSON.toJson(new SAMWeights("vit_b", "cells", "https://example.org/cells.pth")));
        JsonObject recorded = new JsonObject();
        recorded.addProperty("client", "qupath-extension-sam 0.9.1");
        recorded.add("cases", cases);
        System.out.println(new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create().toJson(recorded));
    }

    private static SAMPromptParameters.Builder prompt(String picture, String url) {
        return SAMPromptParameters.builder(SAMType.VIT_B).b64img(picture).checkpointUrl(url);
    }

    /** What the extension does with a part of a slide: ImageIO's PNG in Java's base64. */
    private static String picture() throws Exception {
        BufferedImage image = new BufferedImage(120, 80, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.setColor(new Color(20, 90, 160));
        graphics.fillRect(0, 0, 120, 80);
        graphics.setColor(new Color(200, 30, 30));
        graphics.fillOval(30, 20, 40, 30);
        graphics.setColor(new Color(20, 90, 160));
        graphics.fillOval(44, 30, 9, 9);
        graphics.dispose();
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        ImageIO.write(image, "png", file);
        return Base64.getEncoder().encodeToString(file.toByteArray());
    }

    private static String get(String name, String path) throws Exception {
        return send(name, "GET", path, null, new HttpGet(address + path));
    }

    private static void post(String name, String path, String body) throws Exception {
        HttpPost request = new HttpPost(address + path);
        request.addHeader("accept", "application/json");
        request.addHeader("Content-Type", "application/json; charset=utf-8");
        request.setEntity(new StringEntity(body, ContentType.APPLICATION_JSON));
        send(name, "POST", path, body, request);
    }

    private static String send(String name, String method, String path, String body, ClassicHttpRequest request)
        throws Exception {
        try (var client = HttpClients.createDefault()) {
            return client.execute(request, answer -> {
                String text = EntityUtils.toString(answer.getEntity());
                JsonObject found = new JsonObject();
                found.addProperty("name", name);
                found.addProperty("method", method);
                found.addProperty("path", path);
                found.addProperty("body", body);
                found.addProperty("status", answer.getCode());
                found.add("answer", JsonParser.parseString(text));
                if (answer.getCode() == 200 && method.equals("POST"))
                    found.add("geometries", geometries(text));
                cases.add(found);
                return text;
            });
        }
    }

    /** Whether each mask is a valid geometry for JTS, its type and its area. */
    private static JsonArray geometries(String text) {
        JsonArray all = new JsonArray();
        for (JsonElement feature : JsonParser.parseString(text).getAsJsonArray()) {
            JsonObject json = feature.getAsJsonObject().getAsJsonObject("geometry");
            Geometry geometry = geometry(json.get("type").getAsString(), json.getAsJsonArray("coordinates"));
            JsonObject one = new JsonObject();
            one.addProperty("type", geometry.getGeometryType());
            one.addProperty("valid", new IsValidOp(geometry).isValid());
            one.addProperty("area", geometry.getArea());
            all.add(one);
        }
        return all;
    }

    private static Geometry geometry(String type, JsonArray coordinates) {
        if (type.equals("Polygon"))
            return polygon(coordinates);
        List<Polygon> parts = new ArrayList<>();
        coordinates.forEach(part -> parts.add(polygon(part.getAsJsonArray())));
        return GEOMETRIES.createMultiPolygon(parts.toArray(new Polygon[0]));
    }

    private static Polygon polygon(JsonArray rings) {
        List<LinearRing> found = new ArrayList<>();
        for (JsonElement ring : rings) {
            List<Coordinate> points = new ArrayList<>();
            for (JsonElement point : ring.getAsJsonArray())
                points.add(new Coordinate(point.getAsJsonArray().get(0).getAsDouble(),
                    point.getAsJsonArray().get(1).getAsDouble()));
            found.add(GEOMETRIES.createLinearRing(points.toArray(new Coordinate[0])));
        }
        return GEOMETRIES.createPolygon(found.get(0), found.subList(1, found.size()).toArray(new LinearRing[0]));
    }
}
