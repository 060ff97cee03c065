// The places of captured views as small frames, coloured by how sure their pose is; seen through the splat.
import * as THREE from "three";

const CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1]];

export function frames(poses, size) {
  const places = [];
  const colours = [];
  for (const { pose, fov_deg, aspect, colour } of poses) {
    const turn = new THREE.Matrix4().set(...pose);
    const y = Math.tan(THREE.MathUtils.degToRad(fov_deg / 2)) * size;
    const eye = new THREE.Vector3().applyMatrix4(turn);
    const corners = CORNERS.map(([a, b]) => new THREE.Vector3(a * y * aspect, b * y, -size).applyMatrix4(turn));
    const tint = new THREE.Color(colour);
    corners.forEach((corner, i) => {
      for (const point of [eye, corner, corner, corners[(i + 1) % 4]]) {
        places.push(point.x, point.y, point.z);
        colours.push(tint.r, tint.g, tint.b);
      }
    });
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.Float32BufferAttribute(places, 3));
  geometry.setAttribute("color", new THREE.Float32BufferAttribute(colours, 3));
  const material = new THREE.LineBasicMaterial({ vertexColors: true, depthTest: false, transparent: true, opacity: 0.9 });
  const lines = new THREE.LineSegments(geometry, material);
  lines.renderOrder = 1;
  lines.frustumCulled = false;
  return lines;
}
